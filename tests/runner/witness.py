"""Finds processes by a marker in their command line, a way that the warden knows nothing of."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PULSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """A living process."""

    pid: int
    parent: int
    session: int
    command: str


def living(marker: str) -> list[Seen]:
    """All processes with a marker that live now."""
    found = [seen(int(name)) for name in os.listdir("/proc") if name.isdecimal()]
    return [each for each in found if each is not None and marker in each.command]


def seen(pid: int) -> Seen | None:
    """One process; None when it is not, or is a zombie."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read().replace(b"\0", b" ").decode(errors="replace")
        if not command:
            return None
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else Seen(pid, int(fields[1]), int(fields[3]), command)


def parent_of(pid: int) -> int:
    """The parent of whatever has a pid, also of a zombie; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


class Witness:
    """Looks at the processes of one marker, of which `first` is the one that the warden started."""

    def __init__(self, marker: str, first: int, pulse: Path) -> None:
        self._marker = marker
        self._pulse = pulse
        self._beats = 0
        self.first = first
        self.outside: set[int] = set()
        """Everybody who was ever seen alive outside the tree of the first; 0: those who are too quick to be seen."""

    def living(self) -> list[Seen]:
        """All that live now."""
        return living(self._marker)

    def beats(self) -> bool:
        """Whether those who are too quick to be seen are still being born, and write it down."""
        if not self._pulse.exists():
            return False
        before = self._pulse.stat().st_size
        select.select([], [], [], _PULSE_SECONDS)
        return self._pulse.stat().st_size > before

    def look(self, everybody: Sequence[Seen]) -> bool:
        """Note who is outside; whether anybody ever was."""
        beats = self._pulse.stat().st_size if self._pulse.exists() else 0
        if self._beats and beats > self._beats:
            self.outside.add(0)
        self._beats = beats
        for each in everybody:
            if each.pid == self.first or self._marker not in each.command:
                continue
            if each.session != self.first or not self._descends(each.parent):
                self.outside.add(each.pid)
        return bool(self.outside)

    def _descends(self, pid: int) -> bool:
        """Whether a process is the first or below it; also one that is ending has children until the kernel has given
        them away, and has no command line any more."""
        while pid > 1 and pid != self.first:
            pid = parent_of(pid)
        return pid == self.first

    def kill(self) -> None:
        """End what a warden without its guards has left: by descriptor, so that it is nobody else."""
        for each in self.living():
            try:
                handle = os.pidfd_open(each.pid)
            except ProcessLookupError:
                continue
            again = seen(each.pid)
            if again is not None and self._marker in again.command:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
