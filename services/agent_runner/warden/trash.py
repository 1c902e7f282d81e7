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
        self.step()

    def _take(self, path: str) -> None:
        self._taken += 1
        there = f"{self._root}/{self._taken}"
        try:
            # First of all, because it fails for what a script has mounted there, which is not ours to change.
            os.rename(path, there)
        except PermissionError:
            # Who may not write a folder may not move it either.
            os.chmod(path, 0o700)
            os.rename(path, there)
        self._waiting.append(there)

    def step(self) -> None:
        """Remove some more."""
        if not self._waiting:
            return
        for _ in range(ENTRIES_PER_STEP):
            if next(self._work, self) is self:
                if not self._waiting:
                    return
                self._work = self._empty(self._waiting[-1])

    def finish(self) -> None:
        """Remove all of it now, as far as the system lets go of it."""
        while self._waiting:
            self.step()
        with contextlib.suppress(OSError):
            os.rmdir(self._root)

    def _empty(self, path: str) -> Iterator[None]:
        """Empty one folder entry by entry, and remove it. What the system does not let go of is left."""
        # Package caches leave folders that may not be written.
        with contextlib.suppress(OSError):
            os.chmod(path, 0o700)
        removed = True
        while removed:
            removed = False
            with contextlib.suppress(OSError), os.scandir(path) as entries:
                for entry in entries:
                    removed |= self._remove(entry)
                    yield
        self._waiting.remove(path)
        with contextlib.suppress(OSError):
            os.rmdir(path)

    def _remove(self, entry: os.DirEntry[str]) -> bool:
        try:
            if entry.is_dir(follow_symlinks=False):
                self._take(entry.path)
            else:
                os.unlink(entry.path)
        except OSError:
            return False
        return True
