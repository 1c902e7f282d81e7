"""Reads the end of a log file and what is appended to it, over rotation and truncation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from foundation.log_files import COMPRESSED, olders, open_log

_BLOCK = 64 * 1024
_LOOK_BACK_BYTES_MAX = 16 * 1024 * 1024
_BEGINNING_BYTES = 64 * 1024


class Tail:
    """One log file that others append to, rename and begin anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._rest = b""
        self._newest_then = ""  # of those that had been renamed before ours was opened

    def last(self, lines: int) -> list[bytes]:
        """The last complete lines there are now, also of the logs before this one; what comes later is for `more`."""
        self._open()
        whole = self._last_here(lines) if self._descriptor >= 0 else []
        for path in reversed(self._older()):
            if len(whole) >= lines:
                break
            whole = [*list(_whole(path))[len(whole) - lines :], *whole]
        return whole[-lines:] if lines else []

    def _last_here(self, lines: int) -> list[bytes]:
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        start, text = end, b""
        while start > 0 and text.count(b"\n") <= lines and end - start < _LOOK_BACK_BYTES_MAX:
            step = min(_BLOCK, start)
            start -= step
            text = os.pread(self._descriptor, step, start) + text
        *whole, self._rest = text.split(b"\n")
        return whole[-lines:] if lines else []

    def more(self) -> Iterator[bytes]:
        """The lines that have come since; none when there are none."""
        yield from self._read()
        if self._renamed():
            # Whatever was written to ours before it was renamed is read by now, or stands there to be read.
            yield from self._read()
            before, then = self._descriptor, self._newest_then
            self._open()  # first: what is renamed from here on is read under the name that it has here
            for path in self._between(before, then):
                yield from _whole(path)
            if before >= 0:
                os.close(before)
            self._rest = b""
            yield from self._read()

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._rest = -1, b""

    def _older(self) -> list[Path]:
        """Those that were renamed before ours was opened."""
        return [path for stamp, path in _stamped(self._path) if stamp <= self._newest_then]

    def _between(self, before: int, then: str) -> list[Path]:
        """The logs that were renamed after the one `before` and are not ours, oldest first: under a flood several."""
        since = [path for stamp, path in _stamped(self._path) if stamp > then] if before >= 0 else []
        first = next((number + 1 for number, path in enumerate(since) if _is(path, before)), 0)
        last = next((number for number, path in enumerate(since) if _is(path, self._descriptor)), len(since))
        return since[first:last]

    def _open(self) -> None:
        self._newest_then = max((stamp for stamp, _ in _stamped(self._path)), default="")
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._descriptor = -1

    def _read(self) -> Iterator[bytes]:
        if self._descriptor < 0:
            return
        if os.lseek(self._descriptor, 0, os.SEEK_CUR) > os.fstat(self._descriptor).st_size:
            os.lseek(self._descriptor, 0, os.SEEK_SET)  # cut off by somebody
        while block := os.read(self._descriptor, _BLOCK):
            *whole, self._rest = (self._rest + block).split(b"\n")
            yield from whole

    def _renamed(self) -> bool:
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return False
        if self._descriptor < 0:
            return True
        ours = os.fstat(self._descriptor)
        return (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino)


def _stamped(path: Path) -> list[tuple[str, Path]]:
    """The logs that were renamed, the oldest first, each behind what tells its age."""
    if not path.parent.is_dir():
        return []
    return [(older.stamp, path.with_name(older.name)) for older in olders(str(path)) if "-" in older.stamp]


def _is(path: Path, descriptor: int) -> bool:
    """Whether a renamed log is the one that is open; one that was compressed since has the same beginning."""
    if descriptor < 0:
        return False
    try:
        if path.suffix != COMPRESSED:
            return os.path.samestat(path.stat(), os.fstat(descriptor))
        with open_log(path) as file:
            beginning = file.read(_BEGINNING_BYTES)
    except FileNotFoundError:
        return False
    return beginning == os.pread(descriptor, len(beginning), 0)


def _whole(path: Path) -> Iterator[bytes]:
    try:
        with open_log(path) as file:
            for line in file:
                yield line.removesuffix(b"\n")
    except FileNotFoundError:
        return  # removed to make room
