"""Cells of cgroup v2, where a subtree is delegated to us: one folder per cell holds every limit.

`tests/vm` runs them where systemd has delegated the controllers to a user; killing, freezing and listing are the same
files that the v1 cells use.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping

from services.agent_runner.warden.cgroup_files import Folder, value_of
from services.agent_runner.warden.cgroups import NO_BOUNDS, Bounds, Cell, Hits

CONTROLLERS = ("memory", "pids", "cpu")
PROCESSES = "processes"
PERIOD_US = 100_000
_PIDS_ROOM = 4
_QUOTA_US_MIN = 1_000
_SWAP = "memory.swap.max"
# As on v1: a tree begins with less than this share of its memory taken by what an earlier one left.
_LEFT_SHARE = 8
_LEFT_BYTES_MAX = 8 << 20


class CellsV2:
    """See `Cells`. The kernel itself kills a tree over its memory, whole; SIGCHLD then tells of it."""

    bell = -1

    def __init__(self, home: str, base: str, name: str, *, cpu_share: float, weight: int) -> None:
        """Make the parent of all cells below `base`, whose controllers are enabled; this process is in `home`.

        `weight` is how they rank beside everything else (100: alike). Raises OSError.
        """
        self._home = Folder(home)
        self._parent = Folder(f"{base}/{name}")
        self._cells: dict[int, _CellV2] = {}
        self._parent.make()
        self._parent.write("cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS))
        self._parent.write("cpu.weight", str(weight))
        if cpu_share < 1:
            _set_quota(self._parent, (os.cpu_count() or 1) * cpu_share)

    def heard(self) -> None:
        """Nothing rings."""

    def cell(self, index: int) -> Cell | None:
        """See `Cells`."""
        cell = self._cells.get(index)
        if cell is None:
            cell = self._cells[index] = _CellV2(self._home, Folder(f"{self._parent.path}/{index}"))
        return cell

    def retire(self, index: int) -> None:
        """See `Cells`."""
        if cell := self._cells.pop(index, None):
            cell.folder.remove()

    def enforcement(self) -> Mapping[str, str]:
        """See `Cells`."""
        return {"memory": "kernel", "processes": "kernel", "cpu": "kernel"}

    def close(self) -> None:
        """See `Cells`."""
        for index in list(self._cells):
            self.retire(index)
        self._parent.remove()


class _CellV2:
    """See `Cell`."""

    def __init__(self, home: Folder, folder: Folder) -> None:
        self._home = home
        self.folder = folder
        self._bounds = NO_BOUNDS
        self._set: dict[str, str] = {}
        self._kills = self._refused = self._cpu_us = 0
        self._usage_seen = self._peak = 0
        self._frozen = False
        folder.make()
        self._swaps = folder.has(_SWAP)

    def enter(self, bounds: Bounds) -> None:
        """See `Cell`. While this process is inside, no limit can stop it, and no kill of the whole cell meets it."""
        self._bounds = bounds
        if not self.empty():
            raise OSError(errno.EBUSY, "its cgroup still holds processes of an earlier attempt")
        if self._frozen:
            # Whoever was killed while it was frozen has left it so.
            self.freeze(False)
        if bounds.memory_bytes:
            self._begin_memory(bounds.memory_bytes)
        self._bound("memory.oom.group", "0")
        self._bound("memory.max", "max")
        self._bound("cpu.max", f"max {PERIOD_US}")
        self._bound("pids.max", str(max(bounds.processes_max, _PIDS_ROOM)) if bounds.processes_max else "max")
        self._usage_seen = self._peak = 0
        self._kills = self.folder.field("memory.events", b"oom_kill")
        self._refused = self.folder.field("pids.events", b"max")
        self._cpu_us = self.folder.field("cpu.stat", b"usage_usec")
        self.folder.write("cgroup.procs", "0")

    def _begin_memory(self, most: int) -> None:
        """What an earlier tree has left charged, files in a RAM disk for instance, goes to the parent."""
        left = self.folder.number("memory.current")
        if left > min(most // _LEFT_SHARE, _LEFT_BYTES_MAX) and self.folder.remove():
            self.folder.make()
            self._set.clear()

    def leave(self, pid: int | None) -> None:
        """See `Cell`."""
        self._home.write("cgroup.procs", "0")
        bounds = self._bounds
        if self._swaps:
            # What could go on growing in the swap would never meet its limit.
            self._bound(_SWAP, "0" if bounds.memory_bytes else "max")
        if bounds.memory_bytes:
            self._bound("memory.oom.group", "1")
            self._bound("memory.max", str(bounds.memory_bytes))
        if bounds.processes_max:
            self._bound("pids.max", str(bounds.processes_max))
        if bounds.cpu_cores:
            self._bound("cpu.max", f"{_quota(bounds.cpu_cores)} {PERIOD_US}")

    def _bound(self, name: str, text: str) -> None:
        if self._set.get(name) != text:
            self.folder.write(name, text)
            self._set[name] = text

    def members(self) -> list[int]:
        """See `Cell`."""
        return self.folder.pids()

    def empty(self) -> bool:
        """See `Cell`."""
        return self.folder.field("cgroup.events", b"populated") == 0

    def kill(self) -> bool:
        """See `Cell`."""
        return self._tell("cgroup.kill", "1")

    def freeze(self, frozen: bool) -> bool:
        """See `Cell`."""
        self._frozen = frozen
        return self._tell("cgroup.freeze", "1" if frozen else "0")

    def _tell(self, name: str, text: str) -> bool:
        try:
            self.folder.write(name, text)
        except OSError:
            return False
        return True

    def memory_peak_bytes(self) -> int:
        """See `Cell`."""
        usage = self.folder.number("memory.current")
        if usage > self._usage_seen:
            self._usage_seen = usage
            stat = self.folder.read("memory.stat")
            self._peak = max(self._peak, value_of(stat, b"anon") + value_of(stat, b"shmem"))
        return self._peak

    def processes(self) -> int:
        """See `Cell`."""
        return self.folder.number("pids.current")

    def cpu_seconds(self) -> float:
        """See `Cell`."""
        return (self.folder.field("cpu.stat", b"usage_usec") - self._cpu_us) / 1e6

    def hits(self) -> Hits:
        """See `Cell`."""
        return Hits(
            self.folder.field("memory.events", b"oom_kill") > self._kills,
            self.folder.field("pids.events", b"max") > self._refused,
        )

    def rest(self) -> None:
        """See `Cell`."""
        self.folder.close()


def enable_controllers(base: str) -> bool:
    """Let cells below `base` have limits; false when they cannot.

    A cgroup that holds processes may not hand its controllers on, so where they refuse for that reason its processes
    go one level down, as is the custom in a subtree that was delegated.
    """
    folder = Folder(base)
    wanted = " ".join(f"+{name}" for name in CONTROLLERS)
    try:
        offered = folder.read("cgroup.controllers").decode().split()
        if not set(CONTROLLERS) <= set(offered):
            return False
        enabled = folder.read("cgroup.subtree_control").decode().split()
        if set(CONTROLLERS) <= set(enabled):
            return True
        with contextlib.suppress(OSError):
            folder.write("cgroup.subtree_control", wanted)
            return True
        below = Folder(f"{base}/{PROCESSES}")
        below.make()
        for pid in folder.pids():
            with contextlib.suppress(ProcessLookupError):
                below.write("cgroup.procs", str(pid))
        below.close()
        folder.write("cgroup.subtree_control", wanted)
    except OSError:
        return False
    finally:
        folder.close()
    return True


def _quota(cores: float) -> int:
    return max(int(cores * PERIOD_US), _QUOTA_US_MIN)


def _set_quota(folder: Folder, cores: float) -> None:
    folder.write("cpu.max", f"{_quota(cores)} {PERIOD_US}")
