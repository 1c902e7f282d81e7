"""What a disk with a volatile cache holds after a power cut, worked out from the log of all that was written to it.

A process that emulates a machine can be killed; what it wrote is then in the page cache of its host, and nothing is
lost that a real disk would lose. So qemu (`blklogwrites`) logs each write and each flush in the form of the kernel's
dm-log-writes, and the disk after the cut is made of the disk before it and that log: everything up to the last flush
that was answered, and of what came after it nothing, or what chance leaves.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_MAGIC, _SECTOR = 0x6A736677736872, 512
_FLUSH, _DISCARD = 1, 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: `at` and `size` in bytes on the disk, `data_at` where its bytes lie in the log."""

    at: int
    size: int
    flush: bool
    data_at: int


@dataclass(frozen=True, slots=True)
class Loss:
    """What a cut took: of `written` bytes `lost` came after the last flush and are not on the disk."""

    writes: int
    flushes: int
    written: int
    lost: int
    end: int
    """Where the log ends; what was acknowledged when it was no longer than that has to be there."""


def entries(log: Path) -> Iterator[Entry]:
    """The requests in the order in which they were answered, up to where the machine was killed."""
    with log.open("rb") as file:
        magic, _, _, sector = _SUPER.unpack(file.read(_SUPER.size))
        assert (magic, sector) == (_MAGIC, _SECTOR), "this is no log of writes"
        position, end = _SECTOR, os.fstat(file.fileno()).st_size
        while position + _SECTOR <= end:
            file.seek(position)
            at, count, flags, _ = _ENTRY.unpack(file.read(_ENTRY.size))
            if not (count or flags):
                return  # reserved, and not written when the machine was killed
            data = 0 if flags & _DISCARD else count * _SECTOR
            if position + _SECTOR + data > end:
                return
            if not flags & _DISCARD:
                yield Entry(at * _SECTOR, data, bool(flags & _FLUSH), position + _SECTOR)
            position += _SECTOR + data


def cut(disk: Path, log: Path, *, chance: Random, kept: float, until: int | None = None) -> Loss:
    """Make of a disk as it was at power-on the one that is found after the cut.

    `kept`: the share of the writes after the last flush that reached the disk all the same, in any order; 0: none.
    `until`: how long the log was when the power went, for a moment before the machine was killed.
    """
    found = [entry for entry in entries(log) if until is None or entry.data_at + entry.size <= until]
    last = max((number for number, entry in enumerate(found) if entry.flush), default=-1)
    lost = 0
    with log.open("rb") as source, disk.open("r+b") as target:
        for number, entry in enumerate(found):
            if number > last and chance.random() >= kept:
                lost += entry.size
                continue
            source.seek(entry.data_at)
            target.seek(entry.at)
            target.write(source.read(entry.size))
    return Loss(
        writes=sum(entry.size > 0 for entry in found),
        flushes=sum(entry.flush for entry in found),
        written=sum(entry.size for entry in found),
        lost=lost,
        end=found[-1].data_at + found[-1].size if found else 0,
    )
