"""Processes on macOS, by libproc and the run token in the environment. Designed, not run: no such machine was
at hand."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
from collections.abc import Collection, Container, Mapping

from services.agent_runner.warden.host import About, RunMark, TreeUse
from services.agent_runner.warden.parent_sweep import Known, Sighting, assign

_CTL_KERN, _KERN_PROCARGS2 = 1, 49
_PROC_PIDTBSDINFO = 3
_ZOMBIE = 5
_RUSAGE_INFO_V2 = 2
_ARGUMENTS_BYTES_MAX = 1 << 20


class _BsdInfo(ctypes.Structure):
    """`struct proc_bsdinfo` of sys/proc_info.h."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("flags", "status", "xstatus", "pid", "ppid", "uid", "gid")),
        *((name, ctypes.c_uint32) for name in ("ruid", "rgid", "svuid", "svgid", "reserved")),
        ("comm", ctypes.c_char * 16),
        ("name", ctypes.c_char * 32),
        *((name, ctypes.c_uint32) for name in ("nfiles", "pgid", "pjobc", "tdev", "tpgid")),
        ("nice", ctypes.c_int32),
        ("start_seconds", ctypes.c_uint64),
        ("start_micros", ctypes.c_uint64),
    )


class _RusageV2(ctypes.Structure):
    """`struct rusage_info_v2` of sys/resource.h: a uuid, then 64-bit counters."""

    _fields_ = (("uuid", ctypes.c_uint8 * 16), ("counters", ctypes.c_uint64 * 18))

    PHYS_FOOTPRINT = 7
    CPU_TIMES = (0, 1, 10, 11)  # user and system, own and of children; in units of the machine's own clock


class _Timebase(ctypes.Structure):
    """`struct mach_timebase_info`: nanoseconds per unit, as a fraction."""

    _fields_ = (("numer", ctypes.c_uint32), ("denom", ctypes.c_uint32))


def _started_of(info: _BsdInfo) -> int:
    return int(info.start_seconds) * 1_000_000 + int(info.start_micros)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL("/usr/lib/libSystem.B.dylib", use_errno=True)


class DarwinHost:
    """See `Host`. There is no sub-reaper and no pidfd: identity is the start time, membership the run
    token."""

    def __init__(self) -> None:
        self._libc = _library()
        self._run = ""
        self._known: dict[int, Known] = {}
        self._next = 0
        timebase = _Timebase()
        self._libc.mach_timebase_info(ctypes.byref(timebase))
        self._seconds_per_unit = timebase.numer / (timebase.denom or 1) / 1e9

    def adopt_orphans(self) -> None:
        """Orphans go to launchd here; they are found by their token instead."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def listen(self, signals: Collection[int]) -> int:
        """See `Host`."""
        reading, writing = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, lambda *_: None)
        return reading.detach()

    def heard(self, bell: int) -> Collection[int]:
        """See `Host`."""
        return os.read(bell, 4096)

    def mark(self, run: str) -> RunMark:
        """See `Host`."""
        self._run = run
        return RunMark(run, 0, self._boot(), os.getpid(), self._started(os.getpid()) or 0)

    def tag_next(self) -> int:
        """See `Host`. The tag travels in QUANTUM_RUN only."""
        self._next += 1
        return self._next

    def limit_next(self, *, memory_bytes: int, open_files_max: int) -> None:
        """RLIMIT_DATA is not enforced here, and there is no prlimit; open files keep the user's own limit."""

    def limited(self, pid: int | None, *, open_files_max: int) -> None:
        """Nothing was limited."""

    def stand_back_next(self, nice: int) -> None:
        """Nothing: it is done once the process is there."""

    def stands_back(self, pid: int, nice: int) -> None:
        """See `Host`."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PGRP, pid, nice)

    def stand_forward(self) -> None:
        """It has never stood back."""

    def stand_back_as_session(self, pid: int, nice: int) -> bool:
        """Processors are not shared out by session here."""
        return True

    def strays(self, known: Collection[int]) -> list[tuple[int, int]]:
        """There are none: orphans are launchd's."""
        return []

    @property
    def adopts(self) -> bool:
        """See `Host`."""
        return False

    def tagged(self, tags: Collection[int]) -> Mapping[int, list[int]]:
        """See `Host`. By token and by parent; what once was seen beside its parent stays known."""
        self._known = assign(self._sightings(), self._known)
        found: dict[int, list[int]] = {tag: [] for tag in tags}
        for pid, known in self._known.items():
            if known.tag in found:
                found[known.tag].append(pid)
        return found

    def children(self, pid: int, known: Container[int]) -> list[tuple[int, int]]:
        """See `Host`."""
        return [(each.pid, each.started) for each in self._sightings() if each.parent == pid and each.pid not in known]

    def started(self, pid: int) -> int:
        """See `Host`."""
        return self._started(pid) or 0

    def about(self, pid: int) -> About | None:
        """See `Host`."""
        info = self._info(pid)
        if info is None:
            return None
        name = (info.name or info.comm).decode("utf-8", "replace")
        return About(name, info.status == _ZOMBIE, info.pgid, 0, max(self._tag(pid), 0))

    def use(self, tags: Collection[int]) -> Mapping[int, TreeUse]:
        """See `Host`; `phys_footprint`, which is what the system itself acts on."""
        found: dict[int, TreeUse] = {}
        for tag, pids in self.tagged(tags).items():
            for pid in pids:
                before = found.get(tag, TreeUse(0, 0, 0.0))
                footprint, cpu_seconds = self._usage(pid)
                found[tag] = TreeUse(
                    before.resident_bytes + footprint, before.processes + 1, before.cpu_seconds + cpu_seconds
                )
        return found

    def proportional_bytes(self, tag: int) -> int:
        """See `Host`."""
        return sum(self._usage(pid)[0] for pid in self.tagged({tag})[tag])

    def signal(self, pid: int, tag: int, signum: int) -> bool:
        """See `Host`. Without a pidfd a moment remains between the look and the signal; pids here wrap at
        99,999."""
        known = self._known.get(pid)
        meant = known is not None and known.tag == tag and self._started(pid) == known.started
        return self._signal_if(pid, signum, tag == -1 or meant or self._tag(pid) == tag)

    def signal_started(self, pid: int, started: int, signum: int) -> bool:
        """See `Host`."""
        return self._signal_if(pid, signum, self._started(pid) == started)

    def of_run(self, mark: RunMark) -> list[int]:
        """See `Host`."""
        if mark.boot != self._boot():
            return []
        return [pid for pid in self._pids() if self._belongs(pid, mark)]

    def signal_of_run(self, pid: int, mark: RunMark, signum: int) -> bool:
        """See `Host`."""
        return self._signal_if(pid, signum, self._belongs(pid, mark))

    def newest_of_run(self, mark: RunMark, known: Container[int]) -> list[int]:
        """The system does not tell who was born last."""
        return []

    def thaw_cells(self, mark: RunMark) -> None:
        """There are none."""

    def kill_cells(self, mark: RunMark) -> None:
        """There are none."""

    def signal_warden(self, mark: RunMark, signum: int) -> bool:
        """See `Host`."""
        same = mark.boot == self._boot() and self._started(mark.warden_pid) == mark.warden_ticks
        return self._signal_if(mark.warden_pid, signum, same)

    def own_peak(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def enforcement(self) -> Mapping[str, str]:
        """See `Host`."""
        return {
            "timeout": "supervised",
            "idle_timeout": "supervised",
            "memory": "supervised",
            "processes": "supervised",
            "open_files": "none",
            "output": "supervised",
            "cpu": "none",
            "cpu_time": "supervised",
            "files": "supervised",
            "disk": "supervised",
        }

    def _belongs(self, pid: int, mark: RunMark) -> bool:
        if pid in (mark.warden_pid, os.getpid()):
            return False
        started = self._started(pid)
        return self._token(pid).startswith(f"{mark.run}.") and started is not None and started >= mark.warden_ticks

    def _signal_if(self, pid: int, signum: int, meant: bool) -> bool:
        if not meant:
            return False
        try:
            # Whom we may not signal is there all the same; that it does not end will show.
            with contextlib.suppress(PermissionError):
                os.kill(pid, signum)
        except ProcessLookupError:
            return False
        return True

    def _pids(self) -> list[int]:
        room = self._libc.proc_listallpids(None, 0) + 64
        pids = (ctypes.c_int32 * room)()
        count = self._libc.proc_listallpids(pids, ctypes.sizeof(pids))
        return [pid for pid in pids[: max(count, 0)] if pid > 0]

    def _sightings(self) -> list[Sighting]:
        found = []
        for pid in self._pids():
            if pid != os.getpid() and (info := self._info(pid)) is not None:
                found.append(Sighting(pid, info.ppid, _started_of(info), self._tag(pid)))
        return found

    def _info(self, pid: int) -> _BsdInfo | None:
        info = _BsdInfo()
        size = ctypes.sizeof(info)
        if self._libc.proc_pidinfo(pid, _PROC_PIDTBSDINFO, ctypes.c_uint64(0), ctypes.byref(info), size) < size:
            return None
        return info

    def _started(self, pid: int) -> int | None:
        """Microseconds since the epoch."""
        info = self._info(pid)
        return None if info is None else _started_of(info)

    def _usage(self, pid: int) -> tuple[int, float]:
        """Footprint in bytes and processor seconds of a process and of the children that it has waited for."""
        usage = _RusageV2()
        if self._libc.proc_pid_rusage(pid, _RUSAGE_INFO_V2, ctypes.byref(usage)) != 0:
            return 0, 0.0
        units = sum(int(usage.counters[index]) for index in _RusageV2.CPU_TIMES)
        return int(usage.counters[_RusageV2.PHYS_FOOTPRINT]), units * self._seconds_per_unit

    def _token(self, pid: int) -> str:
        """The value of QUANTUM_RUN in a process's environment; empty when it has none or is not ours to
        read."""
        mib = (ctypes.c_int * 3)(_CTL_KERN, _KERN_PROCARGS2, pid)
        size = ctypes.c_size_t(_ARGUMENTS_BYTES_MAX)
        buffer = ctypes.create_string_buffer(size.value)
        if self._libc.sysctl(mib, 3, buffer, ctypes.byref(size), None, 0) != 0:
            return ""
        before, found, after = buffer.raw[: size.value].partition(b"\0QUANTUM_RUN=")
        return after.partition(b"\0")[0].decode("ascii", "replace") if before and found else ""

    def _tag(self, pid: int) -> int:
        run, _, tag = self._token(pid).rpartition(".")
        return int(tag) if run == self._run and tag.isdecimal() else -1

    def _boot(self) -> str:
        boot = (ctypes.c_int64 * 2)()
        size = ctypes.c_size_t(ctypes.sizeof(boot))
        if self._libc.sysctlbyname(b"kern.boottime", boot, ctypes.byref(size), None, 0) != 0:
            raise OSError(ctypes.get_errno(), "kern.boottime cannot be read")
        return str(boot[0])
