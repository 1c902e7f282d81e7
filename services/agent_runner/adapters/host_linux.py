"""The machine's gauges on Linux: /proc, and the limits of the container that we may be in."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from services.agent_runner.domain.host_guard import HostReading
from services.agent_runner.warden.host import RunMark
from services.agent_runner.warden.host_linux import TAGS_PER_RUN, tag_of

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_IDLE, _IOWAIT, _GUEST = 3, 4, 8  # places in the first line of /proc/stat; a guest's time is in `user` already
_UTIME, _CSTIME = 11, 14  # places in /proc/<pid>/stat, counted behind the name; cutime and cstime are of ended children
_UNLIMITED_BYTES = 1 << 60


class _Used(NamedTuple):
    """Processor seconds: what could have been used up to now, what was, and what of it was ours."""

    capacity: float
    busy: float
    ours: float


class LinuxGauges:
    """See `HostGauges`. Ours is what carries a tag of the warden's run, the warden, and the services of `own`.

    The warden's own figures hold those of every tree that has ended, so that no short script slips through.
    """

    def __init__(
        self,
        mark: RunMark,
        own: Callable[[], Collection[int]],
        *,
        proc: Path = Path("/proc"),
        cgroup: Path = Path("/sys/fs/cgroup"),
        tag_of: Callable[[int], int] = tag_of,
    ) -> None:
        self._tags = range(mark.ceiling - TAGS_PER_RUN + 1, mark.ceiling)
        self._warden = mark.warden_pid
        self._own = own
        self._proc = str(proc)
        self._cgroup = str(cgroup)
        self._tag_of = tag_of
        self._before: tuple[float, _Used] | None = None

    def read(self, now: float, trees: Collection[int]) -> HostReading:
        """See `HostGauges`; a tree is known by its tag."""
        available, total = self._memory()
        busy, ours = self._processors(now)
        return HostReading(now, busy, ours, available, total, self._stalls())

    def _processors(self, now: float) -> tuple[float, float]:
        used = self._used(now)
        before, self._before = self._before, None if used is None else (now, used)
        if before is None or used is None:
            return -1.0, -1.0
        capacity = used.capacity - before[1].capacity
        if capacity <= 0:
            self._before = before
            return -1.0, -1.0
        busy = min(max((used.busy - before[1].busy) / capacity, 0.0), 1.0)
        return busy, min(max((used.ours - before[1].ours) / capacity, 0.0), busy)

    def _used(self, now: float) -> _Used | None:
        try:
            with open(f"{self._proc}/stat", "rb", buffering=0) as file:
                line = file.read(4096).partition(b"\n")[0]
        except OSError:
            return None
        ticks = [int(field) for field in line.split()[1 : 1 + _GUEST]]
        whole = sum(ticks) / _TICKS_PER_SECOND
        busy = whole - (ticks[_IDLE] + ticks[_IOWAIT]) / _TICKS_PER_SECOND
        ours = self._ours_ticks() / _TICKS_PER_SECOND
        # In a container with a quota, that is the machine: beyond it nobody gets anything.
        quota = self._quota()
        return _Used(whole, busy, ours) if quota is None else _Used(now * quota[0], quota[1], ours)

    def _quota(self) -> tuple[float, float] | None:
        """Cores that this container may use, and the seconds that it has used; None: as many as there are."""
        if text := self._control("cpu.max"):
            most, period = text.split()
            used = self._field("cpu.stat", "usage_usec")
            return None if most == "max" or used < 0 else (int(most) / int(period), used / 1e6)
        most_us, period_us = self._control("cpu/cpu.cfs_quota_us"), self._control("cpu/cpu.cfs_period_us")
        used_ns = self._control("cpuacct/cpuacct.usage")
        if not (most_us and period_us and used_ns) or int(most_us) <= 0:
            return None
        return int(most_us) / int(period_us), int(used_ns) / 1e9

    def _ours_ticks(self) -> int:
        own = {*self._own(), self._warden}
        pids = [int(name) for name in os.listdir(self._proc) if name.isdecimal()]
        return sum(self._ticks(pid) for pid in pids if pid in own or self._tag_of(pid) in self._tags)

    def _ticks(self, pid: int) -> int:
        try:
            with open(f"{self._proc}/{pid}/stat", "rb", buffering=0) as file:
                line = file.read(1024)
        except OSError:
            return 0
        fields = line[line.rfind(b")") + 2 :].split()
        return sum(map(int, fields[_UTIME : _CSTIME + 1]))

    def _memory(self) -> tuple[int, int]:
        """Available and in all, in bytes."""
        found = dict.fromkeys(("MemTotal:", "MemAvailable:"), -1)
        with suppress(OSError), open(f"{self._proc}/meminfo", encoding="ascii") as file:
            for line in file:
                name, value = line.split()[:2]
                if name in found:
                    found[name] = int(value) * 1024
                if -1 not in found.values():
                    break
        available, total = found["MemAvailable:"], found["MemTotal:"]
        limit, used = self._memory_limit()
        if 0 <= limit < total and used >= 0:
            return min(available, max(limit - used, 0)), limit
        return available, total

    def _memory_limit(self) -> tuple[int, int]:
        """What this container may hold, and what it holds and could not be taken back at once; -1: no limit."""
        if text := self._control("memory.max"):
            limit = -1 if text == "max" else int(text)
            used, idle = self._control("memory.current"), self._field("memory.stat", "inactive_file")
        else:
            text = self._control("memory/memory.limit_in_bytes")
            limit = int(text) if text and int(text) < _UNLIMITED_BYTES else -1
            used = self._control("memory/memory.usage_in_bytes")
            idle = self._field("memory/memory.stat", "total_inactive_file")
        return limit, int(used) - max(idle, 0) if used else -1

    def _stalls(self) -> float:
        """Per cent of the last 10 s in which something waited for memory."""
        try:
            with open(f"{self._proc}/pressure/memory", encoding="ascii") as file:
                first = file.readline()
        except OSError:
            return -1.0  # a kernel without PSI, or one that was started without
        return float(first.partition("avg10=")[2].split()[0])

    def _control(self, name: str) -> str:
        try:
            with open(f"{self._cgroup}/{name}", encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""

    def _field(self, name: str, field: str) -> int:
        for line in self._control(name).splitlines():
            found, _, value = line.partition(" ")
            if found == field:
                return int(value)
        return -1
