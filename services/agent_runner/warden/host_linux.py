"""Processes on Linux: sub-reaper, pidfds, and an inherited tag in the hard RLIMIT_RTTIME."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Collection, Container, Mapping

from foundation.clock import SystemClock
from services.agent_runner.warden.cgroup_files import cells_name
from services.agent_runner.warden.cgroups_linux import tell_cells
from services.agent_runner.warden.host import About, RunMark, TreeUse
from services.agent_runner.warden.niceness_linux import StandsBack
from services.agent_runner.warden.proc_linux import (
    boot_id,
    children_of,
    name_of,
    proportional_bytes,
    started_ticks,
    stat_fields,
    token,
)
from services.agent_runner.warden.sampling_linux import Sampler

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
# Tags of one run: this many numbers below its ceiling. A warden that spawns 1,000 a second needs 12 days to
# use them up.
TAGS_PER_RUN = 1 << 30
_TAG_CEILING_MAX = 1 << 62
# So many of the pids that were given last are looked at for what is too quick for a pass.
_NEWEST = 4
_SIGSET_BYTES = 128
_SIGNALFD_INFO_BYTES = 128
# RLIMIT_DATA also counts the stacks of threads and the heaps that Java and Node only reserve: 256 MB keeps
# Java from starting and 512 MB cuts Python at 63 threads (tried). So it only stops what outruns the sampler,
# with ample room.
_DATA_FACTOR = 2
_DATA_ROOM_BYTES = 1 << 30

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def make_undumpable() -> None:
    """Keep other processes of the same user from reading this one's memory; root could read it anyway."""
    if os.geteuid() != 0:
        _prctl(_PR_SET_DUMPABLE, 0)


def tag_of(pid: int) -> int:
    """The tag that a process carries; -1 of one that is gone or not to be read."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_RTTIME)[1]
    except (ProcessLookupError, PermissionError):
        return -1


def _others() -> list[int]:
    """Every process but this one: a warden carries the tag that it last gave out, and must not signal
    itself."""
    own = os.getpid()
    return [pid for name in os.listdir("/proc") if name.isdecimal() and (pid := int(name)) != own]


def _new_ceiling() -> int:
    """A number below the present hard limit, far from every other run's: it may be lowered by anyone, never
    raised."""
    _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    top = _TAG_CEILING_MAX if hard in (resource.RLIM_INFINITY, -1) else min(hard, _TAG_CEILING_MAX)
    ceiling = top - int.from_bytes(os.urandom(8)) % max(top // 2, 1)
    if ceiling <= TAGS_PER_RUN:
        raise OSError("the hard limit RLIMIT_RTTIME is too low to mark processes with")
    return ceiling


class LinuxHost(StandsBack):
    """See `Host`."""

    def __init__(self) -> None:
        super().__init__()
        self._ceiling = 0
        self._next = 0
        self._children = -1
        self._sampler = Sampler(tag_of, self._is_ours, SystemClock())
        self._run = ""
        self._data, self._data_hard = resource.getrlimit(resource.RLIMIT_DATA)
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)

    def adopt_orphans(self) -> None:
        """See `Host`."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        make_undumpable()
        # Inherited by every script: a core dump would leave memory on the disk.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def listen(self, signals: Collection[int]) -> int:
        """See `Host`. By signalfd: a handler would cost a frame, a write and a read for each child that ends."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        mask = sum(1 << (number - 1) for number in signals).to_bytes(_SIGSET_BYTES, sys.byteorder)
        bell: int = _libc.signalfd(-1, mask, os.O_NONBLOCK | os.O_CLOEXEC)
        if bell < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return bell

    def heard(self, bell: int) -> Collection[int]:
        """See `Host`."""
        infos = os.read(bell, 16 * _SIGNALFD_INFO_BYTES)
        return [int.from_bytes(infos[at : at + 4], sys.byteorder) for at in range(0, len(infos), _SIGNALFD_INFO_BYTES)]

    def mark(self, run: str) -> RunMark:
        """See `Host`."""
        pid = os.getpid()
        ticks = started_ticks(pid)
        assert ticks is not None, "a process that asks exists"
        self._run = run
        self._ceiling = self._next = _new_ceiling()
        self._children = os.open(f"/proc/self/task/{pid}/children", os.O_RDONLY)
        return RunMark(run, self._ceiling, boot_id(), pid, ticks)

    def tag_next(self) -> int:
        """See `Host`."""
        self._next -= 1
        if self._next <= self._ceiling - TAGS_PER_RUN:
            raise OSError("this warden has used up its tags; it has to be started again")
        resource.setrlimit(resource.RLIMIT_RTTIME, (self._next, self._next))
        return self._next

    def limit_next(self, *, memory_bytes: int, open_files_max: int) -> None:
        """See `Host`. Set on ourselves to be inherited: most scripts have the same limit, which then costs nothing."""
        data = memory_bytes * _DATA_FACTOR + _DATA_ROOM_BYTES if memory_bytes else self._data_hard
        data = min(data, sys.maxsize if self._data_hard == resource.RLIM_INFINITY else self._data_hard)
        if data != self._data:
            resource.setrlimit(resource.RLIMIT_DATA, (data, self._data_hard))
            self._data = data
        if open_files_max:
            soft, hard = self._files
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(open_files_max, soft), hard))

    def limited(self, pid: int | None, *, open_files_max: int) -> None:
        """See `Host`."""
        if not open_files_max:
            return
        soft, hard = self._files
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        # The soft limit it was born with; the hard one could not be lowered on ourselves and raised again.
        most = min(open_files_max, soft)
        if pid is not None:
            # Who has become another user by its exec keeps the soft limit that it was born with.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))

    def strays(self, known: Collection[int]) -> list[tuple[int, int]]:
        """See `Host`."""
        # The kernel lists children reliably as long as none is reaped during the read, and only we reap ours.
        text = os.pread(self._children, 65536, 0)
        if len(text) == 65536:
            text = self._all_children(text)
        return [(pid, tag_of(pid)) for pid in map(int, text.split()) if pid not in known]

    def _all_children(self, text: bytes) -> bytes:
        while more := os.pread(self._children, 65536, len(text)):
            text += more
        return text

    @property
    def adopts(self) -> bool:
        """See `Host`."""
        return True

    def tagged(self, tags: Collection[int]) -> Mapping[int, list[int]]:
        """See `Host`."""
        found: dict[int, list[int]] = {tag: [] for tag in tags}
        if found:
            for pid in _others():
                if (pids := found.get(tag_of(pid))) is not None:
                    pids.append(pid)
        return found

    def children(self, pid: int, known: Container[int]) -> list[tuple[int, int]]:
        """See `Host`."""
        found = []
        for child in children_of(pid):
            # Gone, or given to another parent meanwhile: then its new parent is asked.
            if child not in known and (fields := stat_fields(child)) and int(fields[1]) == pid:
                found.append((child, int(fields[19])))
        return found

    def started(self, pid: int) -> int:
        """See `Host`."""
        return started_ticks(pid) or 0

    def about(self, pid: int) -> About | None:
        """See `Host`."""
        fields = stat_fields(pid)
        if fields is None:
            return None
        tag = token(pid).removeprefix(f"{self._run}.") if self._run else ""
        ended = fields[0] in (b"Z", b"X")
        return About(name_of(pid), ended, int(fields[2]), int(fields[3]), int(tag) if tag.isdecimal() else 0)

    def use(self, tags: Collection[int]) -> Mapping[int, TreeUse]:
        """See `Host`."""
        return self._sampler.use(tags)

    def _is_ours(self, tag: int) -> bool:
        return self._ceiling - TAGS_PER_RUN < tag < self._ceiling

    def proportional_bytes(self, tag: int) -> int:
        """See `Host`."""
        return sum(proportional_bytes(pid) for pid in self.tagged({tag})[tag])

    def signal(self, pid: int, tag: int, signum: int) -> bool:
        """See `Host`."""
        return _signal_if(pid, signum, lambda: tag == -1 or tag_of(pid) == tag)

    def signal_started(self, pid: int, started: int, signum: int) -> bool:
        """See `Host`."""
        return _signal_if(pid, signum, lambda: started_ticks(pid) == started)

    def of_run(self, mark: RunMark) -> list[int]:
        """See `Host`."""
        if mark.boot != boot_id():
            return []
        return [pid for pid in _others() if _belongs(pid, mark)]

    def signal_of_run(self, pid: int, mark: RunMark, signum: int) -> bool:
        """See `Host`."""
        return _signal_if(pid, signum, lambda: _belongs(pid, mark))

    def newest_of_run(self, mark: RunMark, known: Container[int]) -> list[int]:
        """See `Host`."""
        with open("/proc/loadavg", "rb", buffering=0) as file:
            newest = int(file.read(128).split()[-1])
        return [pid for pid in range(newest, newest - _NEWEST, -1) if pid not in known and _belongs(pid, mark)]

    def thaw_cells(self, mark: RunMark) -> None:
        """See `Host`."""
        tell_cells(mark, "cgroup.freeze", "0")

    def kill_cells(self, mark: RunMark) -> None:
        """See `Host`."""
        tell_cells(mark, "cgroup.kill", "1")

    def signal_warden(self, mark: RunMark, signum: int) -> bool:
        """See `Host`."""
        if mark.boot != boot_id():
            return False
        return _signal_if(mark.warden_pid, signum, lambda: started_ticks(mark.warden_pid) == mark.warden_ticks)

    def own_peak(self) -> int:
        # Not getrusage: that one still counts what we were before our own exec.
        with open("/proc/self/status", "rb") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(b"VmHWM:"))

    def enforcement(self) -> Mapping[str, str]:
        """See `Host`."""
        return {
            "timeout": "supervised",
            "idle_timeout": "supervised",
            "memory": "supervised",
            "processes": "supervised",
            "open_files": "kernel",  # per process, as everywhere
            "output": "supervised",
            "cpu": "none",
            "cpu_time": "supervised",
            "files": "supervised",
            "disk": "supervised",
        }


def _signal_if(pid: int, signum: int, still_meant: Callable[[], bool]) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # Looked at after the handle was taken: from here on the handle cannot come to mean another process.
        if not still_meant():
            return False
        # Whom we may not signal is there all the same; that it does not end will show.
        with contextlib.suppress(PermissionError):
            signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return False
    else:
        return True
    finally:
        os.close(handle)


def _belongs(pid: int, mark: RunMark) -> bool:
    if pid == mark.warden_pid:
        return False
    tagged = mark.ceiling - TAGS_PER_RUN < tag_of(pid) < mark.ceiling
    if not tagged and not _has_token(pid, mark.run) and not _in_cell(pid, mark):
        return False
    ticks = started_ticks(pid)
    return ticks is not None and ticks >= mark.warden_ticks


def _in_cell(pid: int, mark: RunMark) -> bool:
    """Whether a process is in a cgroup of that run, wherever it has put its tag and its environment."""
    try:
        with open(f"/proc/{pid}/cgroup", "rb", buffering=0) as file:
            return f"/{cells_name(mark.run, mark.warden_pid, mark.warden_ticks)}".encode() in file.readall()
    except OSError:
        return False


def _has_token(pid: int, run: str) -> bool:
    # The value goes on with the attempt's tag.
    return token(pid).startswith(f"{run}.")
