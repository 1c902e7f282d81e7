"""Writing files so that a crash leaves the old one or the new one, whole."""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys
import tempfile
from pathlib import Path

_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01

# On macOS fsync leaves the data in the drive's own cache; this call does not. Absent elsewhere.
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


def sync(descriptor: int) -> None:
    """Returns when what was written to an open file or folder survives a power cut."""
    if _FULL_SYNC is not None:
        fcntl.fcntl(descriptor, _FULL_SYNC)
    else:
        os.fsync(descriptor)


def sync_directory(directory: Path) -> None:
    """Returns when the names in a folder (a file made, renamed, removed) survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Writes every byte; a write to a file may stop half-way without an error."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def give_back(descriptor: int, offset: int, size: int) -> None:
    """Frees the blocks of a part of a file, which reads as zeros then; where the file system cannot, it just stays."""
    if sys.platform == "linux":
        _libc.fallocate(
            ctypes.c_int(descriptor), ctypes.c_int(_PUNCH_HOLE_KEEP_SIZE), ctypes.c_long(offset), ctypes.c_long(size)
        )


_libc = ctypes.CDLL(None)


def atomic_write(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Replaces a file whole: a reader sees the old content or the new, never a part.

    `durable=False` skips the syncs, for exports that are written again anyway. A symbolic link is
    replaced, not followed. Raises OSError, and leaves the old file and no scrap.
    """
    descriptor, scrap = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        try:
            os.fchmod(descriptor, mode)
            write_all(descriptor, data)
            if durable:
                sync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(scrap, path)
    except BaseException:
        os.unlink(scrap)
        raise
    if durable:
        sync_directory(path.parent)
