"""Reads the end of a log file and what is appended to it, over rotation and truncation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_BLOCK = 64 * 1024
_LOOK_BACK_BYTES_MAX = 16 * 1024 * 1024


class Tail:
    """One log file that others append to, rename and begin anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._rest = b""

    def last(self, lines: int) -> list[bytes]:
        """The last complete lines there are now; what comes later is for `more`."""
        self._open(self._path)
        if self._descriptor < 0:
            return []
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
            # What came between our last look and the renaming is read by now.
            newer = self._newer()
            self.close()
            for path in (*newer, self._path):
                self.close()
                self._open(path)
                yield from self._read()

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._rest = -1, b""

    def _newer(self) -> list[Path]:
        """The logs that were renamed to .1, .2 … after ours, oldest first: under a flood it may be several at once."""
        newer: list[Path] = []
        ours = os.fstat(self._descriptor) if self._descriptor >= 0 else None
        while ours is not None:
            path = self._path.with_name(f"{self._path.name}.{len(newer) + 1}")
            try:
                found = path.stat()
            except FileNotFoundError:
                break
            if os.path.samestat(found, ours):
                break
            newer.append(path)
        return newer[::-1]

    def _open(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
