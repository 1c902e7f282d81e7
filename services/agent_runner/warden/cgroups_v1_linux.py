"""Cells of cgroup v1: one folder per hierarchy, each cell in all of them, with the empty v2 hierarchy beside them
where there is one."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections.abc import Mapping

from services.agent_runner.warden.cgroup_files import Folder, value_of
from services.agent_runner.warden.cgroups import NO_BOUNDS, Bounds, Cell, Hits

UNIFIED = "unified"
HIERARCHIES = ("memory", "pids", "cpu", UNIFIED)
PERIOD_US = 100_000
# With less room than this the warden's own steps in and out could meet the limit.
_PIDS_ROOM = 4
_QUOTA_US_MIN = 1_000
# Memory that an earlier tree left charged, such as files in a RAM disk; a tree begins with less than this share.
_LEFT_SHARE = 8
_LEFT_BYTES_MAX = 8 << 20
_UNLIMITED = "-1"


class CellsV1:
    """See `Cells`. `homes` names for each hierarchy the folder that this process is in."""

    def __init__(self, homes: Mapping[str, str], name: str, *, cpu_share: float, weight: int) -> None:
        """Make the parent of all cells; `cpu_share` is the part of the machine that they get together, `weight` how
        they rank beside everything else (1,024: alike). Raises OSError."""
        self._homes = {key: Folder(path) for key, path in homes.items()}
        self._parents = {key: Folder(f"{path}/{name}") for key, path in homes.items()}
        self._cells: dict[int, _CellV1] = {}
        self._cores_max = (os.cpu_count() or 1) * cpu_share
        self._poll = select.epoll()
        self.bell = self._poll.fileno()
        for parent in self._parents.values():
            parent.make()
        if cpu := self._parents.get("cpu"):
            cpu.write("cpu.shares", str(weight))
            if cpu_share < 1:
                _set_quota(cpu, self._cores_max)

    def heard(self) -> None:
        """See `Cells`."""
        for handle, _ in self._poll.poll(0):
            for cell in self._cells.values():
                cell.note_event(handle)

    def cell(self, index: int) -> Cell | None:
        """See `Cells`."""
        cell = self._cells.get(index)
        if cell is None:
            folders = {key: Folder(f"{parent.path}/{index}") for key, parent in self._parents.items()}
            cell = self._cells[index] = _CellV1(self._homes, folders, self._poll, self._cores_max)
        return cell

    def retire(self, index: int) -> None:
        """See `Cells`."""
        if cell := self._cells.pop(index, None):
            cell.remove()

    def enforcement(self) -> Mapping[str, str]:
        """See `Cells`."""
        held = {"memory": "memory", "pids": "processes", "cpu": "cpu"}
        return {limit: "kernel" for hierarchy, limit in held.items() if hierarchy in self._parents}

    def close(self) -> None:
        """See `Cells`."""
        for index in list(self._cells):
            self.retire(index)
        for parent in self._parents.values():
            parent.remove()
        self._poll.close()


class _CellV1:
    """See `Cell`. A tree that runs into its memory limit is not picked from by the kernel: it waits, whole, until it
    is killed as one."""

    def __init__(
        self, homes: Mapping[str, Folder], folders: Mapping[str, Folder], poll: select.epoll, cores_max: float
    ) -> None:
        self._homes = homes
        self._folders = folders
        self._entered = [key for key in folders if key != "cpu"]
        self._poll = poll
        self._cores_max = cores_max
        self._bounds = NO_BOUNDS
        self._pids_set = self._quota_set = 0
        self._memory_set = False
        self._failures = self._refused = self._cpu_us = 0
        self._usage_seen = self._peak = 0
        self._event = -1
        self._rang = self._memory_hit = self._crowded = self._frozen = False
        self._memory = folders.get("memory")
        self._pids = folders.get("pids")
        self._cpu = folders.get("cpu")
        self._unified = folders.get(UNIFIED)
        listed = self._unified or self._pids or self._memory
        assert listed is not None, "no cell without a hierarchy that holds or lists"
        self._listed = listed
        try:
            for folder in folders.values():
                folder.make()
            if self._memory:
                self._watch_memory(self._memory)
        except OSError:
            # Nobody has this cell, so nobody else would take it away.
            self.remove()
            raise

    def _watch_memory(self, memory: Folder) -> None:
        if self._event < 0:
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._poll.register(self._event, select.EPOLLIN)
        memory.write("memory.oom_control", "1")
        control = os.open(f"{memory.path}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            memory.write("cgroup.event_control", f"{self._event} {control}")
        finally:
            os.close(control)
        self._memory_set = False
        self._failures = 0

    # -- in and out --------------------------------------------------------------------------------

    def enter(self, bounds: Bounds) -> None:
        """See `Cell`. Whatever could stop this process while it is inside is lifted first."""
        self._bounds = bounds
        if not self.empty():
            raise OSError(errno.EBUSY, "its cgroup still holds processes of an earlier attempt")
        if self._frozen:
            # Whoever was killed while it was frozen has left it so.
            self.freeze(False)
        if self._memory:
            self._begin_memory(self._memory, bounds.memory_bytes)
        if self._pids:
            self._bound_pids(self._pids, max(bounds.processes_max, _PIDS_ROOM) if bounds.processes_max else 0)
            if bounds.processes_max:
                self._refused = self._pids.field("pids.events", b"max")
        if self._cpu and self._quota_set:
            self._cpu.write("cpu.cfs_quota_us", _UNLIMITED)
            self._quota_set = 0
        if self._unified:
            self._cpu_us = self._unified.field("cpu.stat", b"usage_usec")
        self._rang = self._memory_hit = self._crowded = False
        try:
            for key in self._entered:
                self._folders[key].write("cgroup.procs", "0")
        except OSError:
            self._go_home()
            raise

    def _begin_memory(self, memory: Folder, most: int) -> None:
        left = memory.number("memory.usage_in_bytes")
        if left > min(most // _LEFT_SHARE or _LEFT_BYTES_MAX, _LEFT_BYTES_MAX) and memory.remove():
            # The successor of its folder starts at nothing; what was left goes to the parent.
            memory.make()
            self._watch_memory(memory)
        elif self._memory_set:
            memory.write("memory.limit_in_bytes", _UNLIMITED)
            self._memory_set = False
        self._usage_seen = self._peak = 0
        if most:
            self._failures = memory.number("memory.failcnt")
            if self._poll.poll(0):  # of whichever cell; to find one's own empty would cost an exception each time
                self._drain_event()

    def leave(self, pid: int | None) -> None:
        """See `Cell`."""
        self._go_home()
        if self._cpu and pid is not None:
            self._move_in(self._cpu, pid)
        bounds = self._bounds
        if self._memory and bounds.memory_bytes:
            try:
                self._memory.write("memory.limit_in_bytes", str(bounds.memory_bytes))
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                # It holds more already.
                self._memory_hit = True
            self._memory_set = True
        if self._pids and bounds.processes_max:
            self._bound_pids(self._pids, bounds.processes_max)
            # What was forked before is not taken back.
            self._crowded = bounds.processes_max < _PIDS_ROOM and self.processes() > bounds.processes_max
        if self._cpu and 0 < bounds.cpu_cores < self._cores_max:
            self._quota_set = _set_quota(self._cpu, bounds.cpu_cores)

    def _move_in(self, cpu: Folder, pid: int) -> None:
        """Share out the processors from here on. Not earlier: this process would have had to wait inside, at the end
        of the queue, for its turn to come out again."""
        outside = {pid}
        inside: set[int] = set()
        while outside:
            for each in outside:
                with contextlib.suppress(ProcessLookupError):
                    cpu.write("cgroup.procs", str(each))
            inside |= outside
            # What it has forked meanwhile is listed, and what that forks is born inside.
            outside = set(self.members()) - inside

    def _go_home(self) -> None:
        for key in self._entered:
            self._homes[key].write("cgroup.procs", "0")

    def _bound_pids(self, pids: Folder, most: int) -> None:
        if most != self._pids_set:
            pids.write("pids.max", str(most) if most else "max")
            self._pids_set = most

    # -- what is in it -----------------------------------------------------------------------------

    def members(self) -> list[int]:
        """See `Cell`."""
        return self._listed.pids()

    def empty(self) -> bool:
        """See `Cell`."""
        return not self._listed.read("cgroup.procs")

    def kill(self) -> bool:
        """See `Cell`."""
        return _tell(self._unified, "cgroup.kill", "1")

    def freeze(self, frozen: bool) -> bool:
        """See `Cell`."""
        self._frozen = frozen
        return _tell(self._unified, "cgroup.freeze", "1" if frozen else "0")

    def memory_peak_bytes(self) -> int:
        """See `Cell`. What is counted of memory is cheap to read; only where it has grown it is asked what it is."""
        if self._memory is None:
            return -1
        usage = self._memory.number("memory.usage_in_bytes")
        if usage > self._usage_seen:
            self._usage_seen = usage
            stat = self._memory.read("memory.stat")
            self._peak = max(self._peak, value_of(stat, b"total_rss") + value_of(stat, b"total_shmem"))
        return self._peak

    def processes(self) -> int:
        """See `Cell`."""
        return self._pids.number("pids.current") if self._pids else -1

    def cpu_seconds(self) -> float:
        """See `Cell`."""
        if self._unified is None:
            return -1.0
        return (self._unified.field("cpu.stat", b"usage_usec") - self._cpu_us) / 1e6

    def hits(self) -> Hits:
        """See `Cell`."""
        return Hits(self._out_of_memory(), self._out_of_processes())

    def _out_of_memory(self) -> bool:
        if self._memory_hit or self._memory is None or not self._memory_set:
            return self._memory_hit
        # Failures alone say nothing: file caches were given back, and then there was room. The event says that there
        # was none, and also comes when somebody above us has none.
        if self._memory.number("memory.failcnt") > self._failures:
            self._drain_event()
            self._memory_hit = self._rang
        return self._memory_hit

    def note_event(self, handle: int) -> None:
        """The bell rang; if it was ours, remember it."""
        if handle == self._event:
            self._drain_event()

    def _drain_event(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
            self._rang = True

    def _out_of_processes(self) -> bool:
        if self._pids is None or not self._bounds.processes_max:
            return False
        return self._crowded or self._pids.field("pids.events", b"max") > self._refused

    def rest(self) -> None:
        """See `Cell`."""
        for folder in self._folders.values():
            folder.close()

    def remove(self) -> None:
        """Take it away, as far as it is empty."""
        for folder in self._folders.values():
            folder.remove()
        if self._event >= 0:
            self._poll.unregister(self._event)
            os.close(self._event)
            self._event = -1


def _tell(folder: Folder | None, name: str, text: str) -> bool:
    if folder is None:
        return False
    try:
        folder.write(name, text)
    except OSError:
        return False
    return True


def _set_quota(cpu: Folder, cores: float) -> int:
    quota = max(int(cores * PERIOD_US), _QUOTA_US_MIN)
    cpu.write("cpu.cfs_period_us", str(PERIOD_US))
    cpu.write("cpu.cfs_quota_us", str(quota))
    return quota
