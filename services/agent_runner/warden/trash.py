"""Removes folders by and by: the trees of other tasks do not wait while a hundred thousand files go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

# An entry costs about fifteen microseconds.
ENTRIES_PER_STEP = 200


class Trash:
    """Folders that are on their way out wait in one folder of the same file system.

    What is nested is moved up into it before it is emptied, so that no depth of folders is too deep.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._taken = 0
        self._waiting: list[str] = []
        self._work: Iterator[None] = iter(())

    @property
    def busy(self) -> bool:
        """Whether something is left to be removed."""
        return bool(self._waiting)

    def take(self, path: str) -> None:
        """The folder is gone from its place when this returns, and from the disk soon after; raises OSError."""
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        self._take(path)
        # It comes first: secrets may be in it.
        self._work = iter(())
        self.step()

    def _take(self, path: str, folder: int | None = None) -> None:
        self._taken += 1
        there = f"{self._root}/{self._taken}"
        try:
            # First of all, because it fails for what a script has mounted there, which is not ours to change.
            os.rename(path, there, src_dir_fd=folder)
        except PermissionError:
            # Who may not write a folder may not move it either.
            _open_up(path, folder)
            os.rename(path, there, src_dir_fd=folder)
        self._waiting.append(there)

    def finish(self) -> None:
        """Remove all of it now, as far as the system lets go of it."""
        while self.busy:
            self.step()
        with contextlib.suppress(OSError):
            os.rmdir(self._root)

    def step(self) -> None:
        """Remove some more."""
        if not self._waiting:
            return
        for _ in range(ENTRIES_PER_STEP):
            if next(self._work, self) is self:
                if not self._waiting:
                    return
                self._work = self._empty(self._waiting[-1])

    def _empty(self, path: str) -> Iterator[None]:
        """Empty one folder entry by entry, and remove it. What the system does not let go of is left.

        All by its descriptor: a process that holds one of it, or of a folder in it, may put links into it meanwhile.
        """
        # Package caches leave folders that may not be written.
        with contextlib.suppress(OSError):
            _open_up(path)
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            # It was no folder any more when it was moved here.
            with contextlib.suppress(OSError):
                os.unlink(path)
        else:
            yield from self._empty_open(folder)
        self._waiting.remove(path)
        with contextlib.suppress(OSError):
            os.rmdir(path)

    def _empty_open(self, folder: int) -> Iterator[None]:
        removed = True
        try:
            while removed:
                removed = False
                with contextlib.suppress(OSError), os.scandir(folder) as entries:
                    for entry in entries:
                        removed |= self._remove(folder, entry)
                        yield
        finally:
            os.close(folder)

    def _remove(self, folder: int, entry: os.DirEntry[str]) -> bool:
        try:
            if entry.is_dir(follow_symlinks=False):
                self._take(entry.name, folder)
            else:
                os.unlink(entry.name, dir_fd=folder)
        except OSError:
            return False
        return True


def _open_up(path: str, folder: int | None = None) -> None:
    """Let its owner do everything with a folder; raises OSError for what is none, a link above all."""
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(path, 0o700, dir_fd=folder, follow_symlinks=False)
        return
    # Linux has no such call, but a way round it.
    handle = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)
