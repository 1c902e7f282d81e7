"""How much room a disk has, when that is too little, and a reserve that is given up when there is none."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from foundation.quantities import format_size

# A disk that was short is so until this much more than the least is free: one that hovers there would flap.
_LEFT_AT = 1.25


class Disk(Protocol):
    """A disk, as whoever must not fill it sees it."""

    def free_bytes(self) -> int:
        """What may still be written, in bytes; raises OSError."""
        ...


class FolderDisk:
    """The disk that a folder is on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def free_bytes(self) -> int:
        """See `Disk`: what the system leaves to this user."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize


class FakeDisk:
    """A disk for tests, with as much room as is said."""

    def __init__(self, free: int) -> None:
        self.free = free

    def free_bytes(self) -> int:
        """See `Disk`."""
        return self.free


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """Whether there is room for new work: short below `least` bytes, and again enough from a quarter more on."""

    least: int
    free: int = -1
    short: bool = False

    def observe(self, free: int) -> DiskRoom:
        """The room after one more look."""
        bound = self.least * _LEFT_AT if self.short else self.least
        return replace(self, free=free, short=free < bound)

    @property
    def sentence(self) -> str:
        """What is short, with figures, as the end of a sentence; empty while nothing is."""
        if not self.short:
            return ""
        return f"the disk has {format_size(max(self.free, 0))} free, and at least {format_size(self.least)} are kept"


REMEDY = (
    "Make room: `quantum rotate logs` shortens the logs, `quantum run cleanup` shows what projects could do without."
    " It goes on by itself then; the setting is disk_free_bytes_min."
)


class Reserve:
    """A file that takes room for as long as there is enough, and leaves it to results when there is none."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def keep(self, room: DiskRoom) -> None:
        """Have it there while the disk is not short; it goes when less is free than it holds, and comes back later.

        Never raises: without it, results wait for room, as they would without a reserve.
        """
        with contextlib.suppress(OSError):
            if self._size and not room.short and room.free > 2 * self._size:
                self._take()
            elif 0 <= room.free < self._size:
                self._path.unlink(missing_ok=True)

    def _take(self) -> None:
        if self._path.exists() and self._path.stat().st_size == self._size:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            allocate = getattr(os, "posix_fallocate", None)
            if allocate is not None:
                allocate(descriptor, 0, self._size)
            else:  # macOS: written out, for a length alone takes no room
                for _ in range(self._size >> 20):
                    os.write(descriptor, bytes(1 << 20))
            os.ftruncate(descriptor, self._size)
        finally:
            os.close(descriptor)
