"""One attempt's output: read behind the slot file, cleaned, logged, and kept within bounds."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from foundation.files import give_back
from foundation.masking import Forms, Masker
from foundation.tokens import mask
from services.agent_runner.domain.text import Cleaner, last_bytes
from services.agent_runner.ports import AgentLogs, Output

# Taken in at one go, in 5 ms or less: between two pieces the runner's loop does other things.
_READ_BYTES = 1 << 17
# What has been read of a long output gives its room on the disk back in steps of this size.
_PUNCH_BYTES = 4 << 20
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
        forget: Callable[[SlotOutput], None],
        secrets: Forms | None = None,
    ) -> None:
        self._open_raw = open_raw
        self.path = kept
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
        self._is_cut = False
        self.over = False
        """No more of it comes."""
        self._total = 0

    @property
    def total_bytes(self) -> int:
        """See `Output`."""
        return self._total

    @property
    def cut(self) -> bool:
        """See `Output`."""
        return self._is_cut

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
        self.over = True

    def go_on(self, open_raw: Callable[[], int]) -> None:
        """What follows comes from another slot file, from its beginning."""
        self._open_raw = open_raw
        self._raw, self._raw_offset, self._punched = -1, 0, 0

    def take_all(self, raw: bytes) -> None:
        """See `Output`."""
        self._take(self._clean(raw, final=True))
        self.over = True

    def _clean(self, raw: bytes, *, final: bool = False) -> str:
        if self._masker is not None:
            raw = self._masker.feed(raw, final=final)
        return self._cleaner.feed(raw, final=final)

    def _take(self, text: str) -> None:
        if not text:
            return
        self._log(text)
        data = text.encode()
        if not self._is_cut and self._total + len(data) <= self._bounds.result:
            self._memory += data
            self._total += len(data)
            return
        try:
            if not self._is_cut:
                self._spill()
            while self._kept >= 0 and data:
                data = data[self._keep(data) :]
        except OSError:
            # A full disk. Whoever waits for the end of this waits for the last lines, too: those stay, in memory.
            self.give_up()
        self._remember(data)

    def _spill(self) -> None:
        self._is_cut = True
        held, self._memory, self._total = bytes(self._memory), bytearray(), 0
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            self._kept = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._forget_old(self)
            while held:
                held = held[self._keep(held) :]
        except OSError:
            self.give_up()
            self._remember(held)
            raise

    def _remember(self, data: bytes) -> None:
        if data:
            self._memory += data
            self._total += len(data)
            del self._memory[: -self._bounds.result]

    def give_up(self) -> None:
        """Its file is removed, to make room; the end of it stays, in memory, where somebody may still read it."""
        if self._kept >= 0:
            end = self.tail().encode()
            self.close()
            self._memory = bytearray(end)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _keep(self, data: bytes) -> int:
        """The head at its place; all that follows round and round in the room behind it. Returns how much was kept."""
        position, room = self._place(self._total)
        written = os.pwrite(self._kept, data[:room], position)
        self._total += written
        return written

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
            first = self._total - len(self._memory)
            mark = _cut_mark(first - offset) if offset < first else b""
            data = bytes(self._memory[max(offset - first, 0) :][:size])
            return mark + data, max(offset, first) + len(data)
        lost_until = self._total - self._bounds.tail
        mark = b""
        if self._bounds.head <= offset < lost_until:
            mark = _cut_mark(lost_until - offset)
            offset = lost_until
        position, room = self._place(offset)
        data = os.pread(self._kept, min(size, room, max(self._total - offset, 0)), position)
        return mark + data, offset + len(data)

    def tail(self) -> str:
        """See `Output`."""
        if self._kept < 0:
            return last_bytes(bytes(self._memory), self._bounds.result)
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
        give_back(self._raw, self._punched, self._raw_offset - self._punched)
        self._punched = self._raw_offset


class SlotOutputs:
    """See `Outputs`."""

    def __init__(
        self, slots: Path, kept: Path, logs: AgentLogs, bounds: OutputBounds, *, bytes_max: int = sys.maxsize
    ) -> None:
        """`bytes_max` is the room that all that is kept in files may take, but what is being written stays."""
        # Text, not Path: joining paths took a tenth of the runner's time per task.
        self._slots = str(slots)
        self._kept = str(kept)
        self._logs = logs
        self._bounds = bounds
        self._bytes_max = bytes_max
        self._files: OrderedDict[str, SlotOutput | None] = OrderedDict()
        if kept.is_dir():  # of an earlier run: nobody asks for them any more, but a person may
            self._files |= dict.fromkeys(map(str, sorted(kept.iterdir(), key=lambda path: path.lstat().st_mtime)))
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

    def _forget_oldest(self, newest: SlotOutput) -> None:
        self._files[newest.path] = newest
        whole = self._bounds.head + self._bounds.tail
        sizes = {
            path: _room_of(path) if output is None or output.over else whole for path, output in self._files.items()
        }
        for path, output in list(self._files.items()):
            if len(self._files) <= _KEPT_FILES_MAX and sum(sizes.values()) <= self._bytes_max:
                return
            if output is not None and not output.over:
                continue
            del self._files[path], sizes[path]
            if output is not None:
                output.give_up()
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)


def _room_of(path: str) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0


def _cut_mark(size: int) -> bytes:
    return f"\n… [{size} bytes were cut here]\n".encode()


def _is_still(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False
