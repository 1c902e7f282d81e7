"""One attempt's output: read behind the slot file, cleaned, logged, and kept within bounds."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from foundation.masking import Forms, Masker
from foundation.tokens import mask
from services.agent_runner.domain.text import Cleaner, last_bytes
from services.agent_runner.ports import AgentLogs, Output

# Taken in at one go, in 5 ms or less: between two pieces the runner's loop does other things.
_READ_BYTES = 1 << 17
# What has been read of a long output gives its room on the disk back in steps of this size.
_PUNCH_BYTES = 4 << 20
_FALLOC_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
_KEPT_FILES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputBounds:
    """How much is kept, in bytes."""

    result: int
    head: int
    tail: int
    line: int
    report: int


class SlotOutput:
    """See `Output`. Up to the size of a result it stays in memory; beyond, head and tail are kept in a file.

    `open_raw` opens the slot file, or has it open already; it is not closed here.
    """

    def __init__(
        self,
        open_raw: Callable[[], int],
        kept: str,
        bounds: OutputBounds,
        log: Callable[[str], None],
        *,
        forget: Callable[[str], None],
        secrets: Forms | None = None,
    ) -> None:
        self._open_raw = open_raw
        self._kept_path = kept
        self._bounds = bounds
        self._log = log
        self._forget_old = forget
        self._masker = Masker(secrets) if secrets is not None else None
        self._cleaner = Cleaner(bounds.line, mask)
        self._raw = -1
        self._raw_offset = 0
        self._punched = 0
        self._memory = bytearray()
        self._kept = -1
        self._total = 0

    @property
    def total_bytes(self) -> int:
        """See `Output`."""
        return self._total

    @property
    def cut(self) -> bool:
        """See `Output`."""
        return self._kept >= 0

    @property
    def taken_bytes(self) -> int:
        """See `Output`."""
        return self._raw_offset

    def read_behind(self) -> bool:
        """See `Output`."""
        if self._raw < 0:
            self._raw = self._open_raw()
        piece = os.pread(self._raw, _READ_BYTES, self._raw_offset)
        self._raw_offset += len(piece)
        self._take(self._clean(piece))
        if self._raw_offset - self._punched >= _PUNCH_BYTES:
            self._punch()
        return len(piece) == _READ_BYTES

    def finish(self, until: int) -> None:
        """See `Output`."""
        while self._raw_offset < until and self.read_behind():
            pass
        self._take(self._clean(b"", final=True))
        self._raw = -1

    def go_on(self, open_raw: Callable[[], int]) -> None:
        """What follows comes from another slot file, from its beginning."""
        self._open_raw = open_raw
        self._raw, self._raw_offset, self._punched = -1, 0, 0

    def take_all(self, raw: bytes) -> None:
        """See `Output`."""
        self._take(self._clean(raw, final=True))

    def _clean(self, raw: bytes, *, final: bool = False) -> str:
        if self._masker is not None:
            raw = self._masker.feed(raw, final=final)
        return self._cleaner.feed(raw, final=final)

    def _take(self, text: str) -> None:
        if not text:
            return
        self._log(text)
        data = text.encode()
        if self._kept < 0:
            if self._total + len(data) <= self._bounds.result:
                self._memory += data
                self._total += len(data)
                return
            self._spill()
        self._keep(data)

    def _spill(self) -> None:
        os.makedirs(os.path.dirname(self._kept_path), mode=0o700, exist_ok=True)
        self._kept = os.open(self._kept_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._forget_old(self._kept_path)
        held, self._memory = bytes(self._memory), bytearray()
        self._total = 0
        self._keep(held)

    def _keep(self, data: bytes) -> None:
        """The head at its place; all that follows round and round in the room behind it."""
        while data:
            position, room = self._place(self._total)
            piece = data[:room]
            os.pwrite(self._kept, piece, position)
            self._total += len(piece)
            data = data[len(piece) :]

    def _place(self, offset: int) -> tuple[int, int]:
        """Where in the file an offset of the output is, and how many bytes follow it there in a row."""
        head, tail = self._bounds.head, self._bounds.tail
        if offset < head:
            return offset, head - offset
        behind = (offset - head) % tail
        return head + behind, tail - behind

    def read(self, offset: int, size: int) -> tuple[bytes, int]:
        """See `Output`."""
        if self._kept < 0:
            data = bytes(self._memory[offset : offset + size])
            return data, offset + len(data)
        lost_until = self._total - self._bounds.tail
        mark = b""
        if self._bounds.head <= offset < lost_until:
            mark = f"\n… [{lost_until - offset} bytes were cut here]\n".encode()
            offset = lost_until
        position, room = self._place(offset)
        data = os.pread(self._kept, min(size, room, max(self._total - offset, 0)), position)
        return mark + data, offset + len(data)

    def tail(self) -> str:
        """See `Output`."""
        if self._kept < 0:
            return self._memory.decode()
        data, offset = b"", max(self._total - self._bounds.result, 0)
        while offset < self._total:
            piece, offset = self.read(offset, self._total - offset)
            data += piece
        return last_bytes(data, self._bounds.result)

    def close(self) -> None:
        """Nobody reads it any more; the kept file stays until it is the oldest."""
        if self._kept >= 0:
            os.close(self._kept)
            self._kept = -1

    def _punch(self) -> None:
        _give_back(self._raw, self._punched, self._raw_offset - self._punched)
        self._punched = self._raw_offset


class SlotOutputs:
    """See `Outputs`."""

    def __init__(self, slots: Path, kept: Path, logs: AgentLogs, bounds: OutputBounds) -> None:
        # Text, not Path: joining paths took a tenth of the runner's time per task.
        self._slots = str(slots)
        self._kept = str(kept)
        self._logs = logs
        self._bounds = bounds
        self._files: OrderedDict[str, None] = OrderedDict()
        self._raw: dict[int, int] = {}

    def open(self, slot: int, agent: str, task_id: str, fence: int, secrets: Forms | None = None) -> SlotOutput:
        """See `Outputs`."""
        return SlotOutput(
            lambda: self._open_raw(slot),
            f"{self._kept}/{task_id}-{fence}.out",
            self._bounds,
            lambda text: self._logs.write(agent, task_id, text),
            forget=self._forget_oldest,
            secrets=secrets,
        )

    def _open_raw(self, slot: int) -> int:
        # Kept open from attempt to attempt: ext4 writes a file that was cut to nothing to the disk when it is closed,
        # and gives the blocks back when it is cut again, which together take longer than most scripts.
        handle, path = self._raw.get(slot, -1), f"{self._slots}/{slot}/out"
        if handle >= 0 and not _is_still(handle, path):
            os.close(self._raw.pop(slot))  # a script took its name away, or the slot is another one
            handle = -1
        if handle < 0:
            handle = self._raw[slot] = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        return handle

    def go_on(self, output: Output, slot: int) -> None:
        """See `Outputs`."""
        assert isinstance(output, SlotOutput), "it was opened here"
        output.go_on(lambda: self._open_raw(slot))

    def peek(self, slot: int, size: int) -> bytes:
        """See `Outputs`."""
        return os.pread(self._open_raw(slot), size, 0)

    def report(self, slot: int) -> bytes:
        """See `Outputs`."""
        handle = os.open(f"{self._slots}/{slot}/report.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.read(handle, self._bounds.report + 1)
        finally:
            os.close(handle)

    def _forget_oldest(self, newest: str) -> None:
        self._files[newest] = None
        while len(self._files) > _KEPT_FILES_MAX:
            oldest, _ = self._files.popitem(last=False)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(oldest)


def _is_still(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _give_back(handle: int, offset: int, size: int) -> None:
    """Free the blocks of a part of a file; where the file system cannot, the part just stays."""
    if sys.platform == "linux":
        _libc.fallocate(
            ctypes.c_int(handle), ctypes.c_int(_FALLOC_PUNCH_HOLE_KEEP_SIZE), ctypes.c_long(offset), ctypes.c_long(size)
        )


_libc = ctypes.CDLL(None)
