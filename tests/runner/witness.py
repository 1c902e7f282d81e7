"""Finds processes by a marker in their command line, a way that the warden knows nothing of."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """A living process."""

    pid: int
    parent: int
    session: int


class Witness:
    """Looks at the processes of one marker, of which `first` is the one that the warden started."""

    def __init__(self, marker: str, first: int) -> None:
        self._marker = marker.encode()
        self.first = first
        self.outside: set[int] = set()
        """Everybody who was ever seen alive outside the tree of the first."""

    def living(self) -> list[Seen]:
        """All that live now."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdecimal() and (seen := self._seen(int(name))) is not None:
                found.append(seen)
        return found

    def look(self) -> bool:
        """Note who is outside; whether anybody ever was."""
        seen = {each.pid: each for each in self.living()}
        for each in seen.values():
            if each.pid == self.first:
                continue
            at = each
            while at.parent in seen and at.parent != self.first:
                at = seen[at.parent]
            if at.parent != self.first or each.session != self.first:
                self.outside.add(each.pid)
        return bool(self.outside)

    def kill(self) -> None:
        """End what a warden without its guards has left: by descriptor, so that it is nobody else."""
        for each in self.living():
            try:
                handle = os.pidfd_open(each.pid)
            except ProcessLookupError:
                continue
            if self._seen(each.pid) is not None:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)

    def _seen(self, pid: int) -> Seen | None:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if self._marker not in file.read():
                    return None
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return None
        return None if fields[0] in (b"Z", b"X") else Seen(pid, int(fields[1]), int(fields[3]))
