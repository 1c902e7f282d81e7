"""Stands in for protected paths that do not exist, as long as a sandbox is there that could make them, no longer.

A mount needs something to be mounted on, and bubblewrap would leave behind what it made for that. Every placeholder is
written down before it is made, so that the next start takes away what a killed warden left.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from foundation.files import atomic_write
from services.agent_runner.warden.protected import Guard, Kind
from services.agent_runner.warden.sandbox import open_as_seen

RECORD = "placeholders.json"
_MODE = 0o555


class Placeholders:
    """Those of one warden. Shared locks tell those of another, on the same folders, that one is still needed."""

    def __init__(self, folder: Path) -> None:
        """Takes away what an earlier warden left in its place."""
        self._record = folder / RECORD
        self._held: dict[str, tuple[int, int]] = {}  # how many need it, and the descriptor with the lock
        self._made: dict[str, str] = self._read()
        self._sweep()

    def hold(self, guards: Sequence[Guard]) -> list[str]:
        """Have every guard's path exist; returns what to give to `release`. Raises OSError; nothing is held then."""
        held: list[str] = []
        try:
            for guard in guards:
                if guard.path in self._held or guard.kind is not Kind.PRESENT or _is_empty(guard.path):
                    self._hold(guard)
                    held.append(guard.path)
        except OSError:
            self.release(held)
            raise
        return held

    def release(self, paths: Sequence[str]) -> None:
        """They are needed once less; what nobody needs and still is as it was made goes away."""
        for path in paths:
            count, lock = self._held[path]
            if count > 1:
                self._held[path] = count - 1, lock
            else:
                del self._held[path]
                os.close(lock)
        self._sweep()

    def _hold(self, guard: Guard) -> None:
        count, lock = self._held.get(guard.path, (0, -1))
        if not count:
            if not os.path.lexists(guard.path):
                self._make(guard)
            lock = _locked(guard.path, fcntl.LOCK_SH)
        self._held[guard.path] = count + 1, lock

    def _make(self, guard: Guard) -> None:
        self._made[guard.path] = guard.text.decode()
        self._write()
        with _folder_of(guard.path) as (folder, name):
            if guard.kind is Kind.MISSING_FOLDER:
                os.mkdir(name, _MODE, dir_fd=folder)
                return
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=folder)
            try:
                os.write(handle, guard.text)
            finally:
                os.close(handle)

    def _sweep(self) -> None:
        idle = [path for path in self._made if path not in self._held]
        done = [path for path in idle if _take_away(path, self._made[path].encode())]
        for path in done:
            del self._made[path]
        if done:
            self._write()

    def _read(self) -> dict[str, str]:
        try:
            return {str(path): str(text) for path, text in json.loads(self._record.read_bytes()).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def _write(self) -> None:
        atomic_write(self._record, json.dumps(self._made).encode(), 0o600)


def _is_empty(path: str) -> bool:
    """Whether it may be a placeholder of another warden."""
    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                return next(entries, None) is None
        return os.path.getsize(path) <= 2
    except OSError:
        return False


@contextlib.contextmanager
def _folder_of(path: str) -> Iterator[tuple[int, str]]:
    """The folder that a path is in, held so that nobody can put another in its place, and the name there."""
    above, name = os.path.split(path)
    folder = open_as_seen(above)
    try:
        yield folder, name
    finally:
        os.close(folder)


def _locked(path: str, how: int) -> int:
    """A descriptor with a lock; raises OSError, BlockingIOError for one that somebody else has.

    Never waits: a script may have put a pipe there, and whoever can read a file can keep a lock on it.
    """
    with _folder_of(path) as (folder, name):
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        said = "somebody has it locked" if isinstance(error, BlockingIOError) else error.strerror
        raise OSError(error.errno, said, path) from error
    return handle


def _take_away(path: str, text: bytes) -> bool:
    """Remove a placeholder unless it has become something else; false: another warden needs it, try again."""
    try:
        handle = _locked(path, fcntl.LOCK_EX)
    except BlockingIOError:
        return False
    except OSError:
        return True
    try:
        with _folder_of(path) as (folder, name):
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                os.rmdir(name, dir_fd=folder)
            elif os.read(handle, len(text) + 1) == text:
                os.unlink(name, dir_fd=folder)
    except OSError:
        # Somebody put something into it: it is theirs now.
        return True
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)
    return True
