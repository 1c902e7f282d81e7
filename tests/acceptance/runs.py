"""What the scripts of an acceptance test note about themselves: who began, who ended, and gates that hold them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt as its own script noted it; `ended` only when it came to its last line."""

    task_id: str
    fence: int
    pid: int
    agent: str
    ended: bool


class Runs:
    """A file that every script appends to, one short line at a time, which no other can tear."""

    preamble = 'echo "begin $QUANTUM_TASK_ID $QUANTUM_FENCE $$ $QUANTUM_AGENT" >> "$QUANTUM_WORKSPACE/runs"'
    end_line = 'echo "end $QUANTUM_TASK_ID $QUANTUM_FENCE $$ $QUANTUM_AGENT" >> "$QUANTUM_WORKSPACE/runs"'

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / "runs"
        self._read_to = 0
        self._begun: dict[tuple[str, int], Run] = {}
        self.notes: list[tuple[str, str]] = []
        """Every ("begin" or "end", task id) in the order of the file, as of the last look."""

    def all(self) -> list[Run]:
        """Every attempt that began, in that order."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]  # a line that crosses a page may be seen before it is whole
        for line in new.decode().splitlines():
            word, task_id, fence, pid, agent = line.split()
            self._begun[task_id, int(fence)] = Run(task_id, int(fence), int(pid), agent, word == "end")
            self.notes.append((word, task_id))
        self._read_to += len(new)
        return list(self._begun.values())

    def of(self, task_id: str) -> list[Run]:
        """The attempts of one task."""
        return [run for run in self.all() if run.task_id == task_id]

    def alive(self) -> list[Run]:
        """The attempts whose first process exists: it has begun, not ended, and was not killed."""
        return [run for run in self.all() if not run.ended and _exists(run.pid)]

    def gate(self, name: str = "gate") -> str:
        """A line of shell that waits, without using anything, until `open_gate`; scripts are told apart by name."""
        path = self._root / f".{name}"
        if not path.exists():
            os.mkfifo(path)
        return f': < "$QUANTUM_WORKSPACE/.{name}"'

    @contextmanager
    def open_gate(self, name: str = "gate") -> Iterator[None]:
        """Let everybody pass who waits or comes, for as long as the context lasts."""
        # Opened both ways, so that it is open whether or not somebody waits.
        descriptor = os.open(self._root / f".{name}", os.O_RDWR)
        try:
            yield
        finally:
            os.close(descriptor)


def _exists(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] not in (b"Z", b"X")
