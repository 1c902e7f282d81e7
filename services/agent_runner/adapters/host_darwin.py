"""The machine's gauges on macOS: Mach's processor ticks and the kernel's own verdict on memory. Designed, not run: no
such machine was at hand."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from services.agent_runner.domain.host_guard import HostReading
from services.agent_runner.warden.host import RunMark

_HOST_CPU_LOAD_INFO = 3
_USER, _SYSTEM, _IDLE, _NICE = range(4)
_PROC_PIDTBSDINFO = 3
_RUSAGE_INFO_V2 = 2
_RUSAGE_V2_COUNTERS = 18
_USER_TIME, _SYSTEM_TIME, _CHILD_USER_TIME, _CHILD_SYSTEM_TIME = 0, 1, 10, 11
_BSD_INFO_BYTES, _PGID_AT = (
    136,
    100,
)  # struct proc_bsdinfo: seven and five 32-bit fields, 16 + 32 bytes of names, nfiles
_PRESSURE_NORMAL = 1


class Ticks(NamedTuple):
    """Clock ticks of all processors together, since the start of the machine."""

    user: int
    system: int
    idle: int
    nice: int


class Mach(Protocol):
    """What is asked of the system; -1: it does not tell."""

    def ticks(self) -> Ticks | None:
        """Of all processors."""

    def number(self, name: str) -> int:
        """A whole number by its sysctl name."""

    def cpu_seconds(self, pid: int) -> float:
        """Of a process and of its children that have ended; 0 when it has gone."""

    def groups(self) -> dict[int, int]:
        """The process group of every process."""


class DarwinGauges:
    """See `HostGauges`. Ours are the services of `own`, the warden, and the process groups of the trees.

    What has left its group while it runs counts as others' work until it ends.
    """

    def __init__(self, mark: RunMark, own: Callable[[], Collection[int]], mach: Mach | None = None) -> None:
        self._warden = mark.warden_pid
        self._own = own
        self._mach = mach or System()
        self._before: tuple[float, Ticks, float] | None = None

    def read(self, now: float, trees: Collection[int]) -> HostReading:
        """See `HostGauges`."""
        total, percent = self._mach.number("hw.memsize"), self._mach.number("kern.memorystatus_level")
        available = total * percent // 100 if total >= 0 and percent >= 0 else -1
        pressure = self._mach.number("kern.memorystatus_vm_pressure_level")
        busy, ours = self._processors(now, trees)
        return HostReading(now, busy, ours, available, total, -1.0, pressure > _PRESSURE_NORMAL)

    def _processors(self, now: float, trees: Collection[int]) -> tuple[float, float]:
        ticks, seconds = self._mach.ticks(), self._seconds(trees)
        before, self._before = self._before, None if ticks is None else (now, ticks, seconds)
        if before is None or ticks is None:
            return -1.0, -1.0
        # 32-bit counters, which go round every few months of processor time.
        passed = [(new - old) % (1 << 32) for new, old in zip(ticks, before[1], strict=True)]
        whole, idle = sum(passed), passed[_IDLE]
        processors = self._mach.number("hw.logicalcpu")
        if not whole or processors <= 0 or now <= before[0]:
            return -1.0, -1.0
        busy = 1 - idle / whole
        share = (seconds - before[2]) / ((now - before[0]) * processors)
        return busy, min(max(share, 0.0), busy)

    def _seconds(self, trees: Collection[int]) -> float:
        roots = set(trees)
        ours = {*self._own(), self._warden}
        if roots:
            ours |= {pid for pid, group in self._mach.groups().items() if group in roots}
        return sum(map(self._mach.cpu_seconds, ours))


class _RusageV2(ctypes.Structure):
    """`struct rusage_info_v2` of sys/resource.h: a uuid, then 64-bit counters; times in units of the time base."""

    _fields_ = (("uuid", ctypes.c_uint8 * 16), ("counters", ctypes.c_uint64 * _RUSAGE_V2_COUNTERS))


class System:
    """See `Mach`."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL("/usr/lib/libSystem.B.dylib", use_errno=True)
        self._libc.mach_host_self.restype = ctypes.c_uint32
        self._host = self._libc.mach_host_self()
        base = (ctypes.c_uint32 * 2)(1, 1)
        self._libc.mach_timebase_info(base)
        self._seconds_per_unit = base[0] / base[1] / 1e9

    def ticks(self) -> Ticks | None:
        """See `Mach`."""
        load, count = (ctypes.c_uint32 * 4)(), ctypes.c_uint32(4)
        if self._libc.host_statistics(self._host, _HOST_CPU_LOAD_INFO, load, ctypes.byref(count)) != 0:
            return None
        return Ticks(load[_USER], load[_SYSTEM], load[_IDLE], load[_NICE])

    def number(self, name: str) -> int:
        """See `Mach`."""
        value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
        # A 32-bit one fills the lower half, on both of Apple's processors.
        if self._libc.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0) != 0:
            return -1
        return int(value.value)

    def cpu_seconds(self, pid: int) -> float:
        """See `Mach`."""
        usage = _RusageV2()
        if self._libc.proc_pid_rusage(pid, _RUSAGE_INFO_V2, ctypes.byref(usage)) != 0:
            return 0.0
        places = (_USER_TIME, _SYSTEM_TIME, _CHILD_USER_TIME, _CHILD_SYSTEM_TIME)
        return sum(int(usage.counters[place]) for place in places) * self._seconds_per_unit

    def groups(self) -> dict[int, int]:
        """See `Mach`."""
        room = self._libc.proc_listallpids(None, 0) + 64
        pids = (ctypes.c_int32 * room)()
        count = self._libc.proc_listallpids(pids, ctypes.sizeof(pids))
        return {pid: self._group(pid) for pid in pids[: max(count, 0)] if pid > 0}

    def _group(self, pid: int) -> int:
        info = ctypes.create_string_buffer(_BSD_INFO_BYTES)
        size = self._libc.proc_pidinfo(pid, _PROC_PIDTBSDINFO, ctypes.c_uint64(0), info, _BSD_INFO_BYTES)
        return int.from_bytes(info.raw[_PGID_AT : _PGID_AT + 4], "little") if size == _BSD_INFO_BYTES else 0
