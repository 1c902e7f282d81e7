"""Finds out which cgroups this process may use, and removes what wardens that are gone have left of theirs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from services.agent_runner.warden.cgroup_files import CELLS_PREFIX as PREFIX
from services.agent_runner.warden.cgroup_files import Folder, cells_name
from services.agent_runner.warden.cgroups import Cells, NoCells
from services.agent_runner.warden.cgroups_v1_linux import HIERARCHIES, UNIFIED, CellsV1
from services.agent_runner.warden.cgroups_v2_linux import PROCESSES, CellsV2, enable_controllers
from services.agent_runner.warden.host import RunMark
from services.agent_runner.warden.proc_linux import started_ticks

# All scripts together weigh half as much as one process of the user's, whose own work so goes first; with much less, a
# busy machine lets none of them come to its end.
WEIGHT_V1 = 512
WEIGHT_V2 = 25


class Homes(NamedTuple):
    """The folders of the cgroups that this process is in: of each v1 hierarchy, and of v2 (empty: not mounted)."""

    v1: Mapping[str, str]
    v2: str


def open_cells(run: str, *, cpu_share: float) -> Cells:
    """Cells for this run: of v2 where its controllers are ours to use, else of v1 where it may be written, else
    none. Together they get `cpu_share` of the machine."""
    homes = find_homes(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
    _remove_abandoned(homes)
    name = _name_of(run)
    if homes.v2:
        base = _delegated(homes.v2)
        if base:
            home = _v2_home(homes.v2)
            return CellsV2(home, base, name, cpu_share=cpu_share, weight=WEIGHT_V2)
    usable = {key: home for key in HIERARCHIES if (home := homes.v1.get(key, "")) and _may_make(home, name)}
    if homes.v2 and usable and _may_make(homes.v2, name):
        usable[UNIFIED] = homes.v2
    if not usable:
        return NoCells()
    return CellsV1(usable, name, cpu_share=cpu_share, weight=WEIGHT_V1)


def folders_of(mark: RunMark) -> list[str]:
    """The folders of a run's cells, whichever hierarchies they are in; what lives in them belongs to that run."""
    homes = find_homes(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
    name = cells_name(mark.run, mark.warden_pid, mark.warden_ticks)
    return [path for path in _ours(homes) if os.path.basename(path).startswith(name)]


def tell_cells(mark: RunMark, name: str, text: str) -> None:
    """Write something into a file of every cgroup of a run that has it."""
    for folder in folders_of(mark):
        # Cgroups of the first kind have no such file, and an empty one may be gone by now.
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(f"{folder}/{name}", os.O_WRONLY)
            try:
                os.write(handle, text.encode())
            finally:
                os.close(handle)


def find_homes(mountinfo: str, own: str) -> Homes:
    """Where this process is, from the texts of /proc/self/mountinfo and /proc/self/cgroup.

    A slice of v1 is left out: it is systemd's, which takes away again what is empty there.
    """
    places = {name: path for _, name, path in (line.split(":", 2) for line in own.splitlines())}
    v1: dict[str, str] = {}
    v2 = ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), after.split(" ", 2)
        root, point = fields[3], fields[4]
        if kind == "cgroup2" and "" in places:
            v2 = _below(point, root, places[""])
        elif kind == "cgroup":
            for controllers, place in places.items():
                if set(controllers.split(",")) <= set(options.split(",")) and controllers:
                    path = _below(point, root, place)
                    if not path.endswith(".slice"):
                        v1.update(dict.fromkeys(controllers.split(","), path))
    return Homes(v1, v2)


def _below(point: str, root: str, place: str) -> str:
    """A cgroup's folder, where a part of the hierarchy may be all that is mounted."""
    inside = place.removeprefix(root.rstrip("/")) if place.startswith(root.rstrip("/")) else ""
    return (point + inside).rstrip("/")


def _name_of(run: str) -> str:
    """Tells a successor which run it was, and everybody whether its warden still lives."""
    pid = os.getpid()
    return f"{cells_name(run, pid, started_ticks(pid) or 0)}{_pid_namespace()}"


def _pid_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _ours(homes: Homes) -> list[str]:
    """Everything in the places that we look at which bears our name."""
    bases = {*homes.v1.values(), homes.v2, os.path.dirname(homes.v2)} - {""}
    found = []
    for base in sorted(bases):
        if os.path.isdir(base):
            found += [entry.path for entry in os.scandir(base) if entry.name.startswith(PREFIX) and entry.is_dir()]
    return found


def _remove_abandoned(homes: Homes) -> None:
    for path in _ours(homes):
        parts = os.path.basename(path).rsplit("-", 3)
        if len(parts) != 4 or not all(part.isdecimal() for part in parts[1:]):
            continue
        pid, ticks, namespace = map(int, parts[1:])
        if namespace == _pid_namespace() and started_ticks(pid) != ticks:
            # One that is not empty stays, for the start after the next.
            Folder(path).remove()


def _delegated(own: str) -> str:
    """The cgroup of v2 below which cells may have limits: our own, or the one above where that is ours; else
    none."""
    base = os.path.dirname(own) if os.path.basename(own) == PROCESSES else own
    return base if os.access(base, os.W_OK) and enable_controllers(base) else ""


def _v2_home(before: str) -> str:
    """Where this process is now: handing on the controllers may have moved it one level down."""
    below = f"{before}/{PROCESSES}"
    if os.path.isdir(below) and os.getpid() in Folder(below).pids():
        return below
    return before


def _may_make(home: str, name: str) -> bool:
    """Whether a child may be made there; the mode of the folder does not tell on a mount that is read-only."""
    try:
        os.mkdir(f"{home}/{name}", 0o755)
    except FileExistsError:
        return True
    except OSError:
        return False
    return os.access(f"{home}/cgroup.procs", os.W_OK)
