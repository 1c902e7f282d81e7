"""Where cgroups are found, and what cells of v2 write; the files are a folder's, not the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.agent_runner.warden.cgroup_files import Folder, value_of
from services.agent_runner.warden.cgroups import Bounds, Hits
from services.agent_runner.warden.cgroups_linux import find_homes
from services.agent_runner.warden.cgroups_v1_linux import CellsV1
from services.agent_runner.warden.cgroups_v2_linux import CellsV2, enable_controllers

MOUNTS_V1 = """\
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
39 31 0:36 /box /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
OWN_V1 = "4:memory:/api/one\n1:cpu,cpuacct:/\n8:pids:/box/two\n9:name=systemd:/\n0::/\n"


def test_each_hierarchy_is_found_where_this_process_is_in_it() -> None:
    homes = find_homes(MOUNTS_V1, OWN_V1)
    assert homes.v1["memory"] == "/sys/fs/cgroup/memory/api/one"
    assert homes.v1["cpu"] == homes.v1["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct"
    assert homes.v1["pids"] == "/sys/fs/cgroup/pids/two", "a part of the hierarchy is all that is mounted"
    assert homes.v2 == "/sys/fs/cgroup/unified"


def test_a_slice_of_systemd_is_nobodys_home() -> None:
    unit = OWN_V1.replace("4:memory:/api/one", "4:memory:/app.slice/quantum.service").replace(":/\n8", ":/app.slice\n8")
    homes = find_homes(MOUNTS_V1, unit)
    assert homes.v1["memory"] == "/sys/fs/cgroup/memory/app.slice/quantum.service"
    assert "cpu" not in homes.v1 and "cpuacct" not in homes.v1 and "pids" in homes.v1


def test_where_only_v2_is_mounted_there_is_no_v1() -> None:
    mounts = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
    assert find_homes(mounts, "0::/user.slice/quantum.service\n") == ({}, "/sys/fs/cgroup/user.slice/quantum.service")


@pytest.mark.parametrize(("key", "value"), [(b"low", 1), (b"max", 23), (b"oom_kill", 4), (b"oom", 5), (b"gone", 0)])
def test_a_number_is_found_by_its_whole_name(key: bytes, value: int) -> None:
    assert value_of(b"low 1\nmax 23\noom_kill 4\noom 5\n", key) == value


def cgroup(path: Path, controllers: str = "cpu memory pids io") -> Path:
    """A folder with the files of a cgroup."""
    path.mkdir(exist_ok=True)
    for name, text in {
        "cgroup.controllers": controllers,
        "cgroup.subtree_control": "",
        "cgroup.procs": "",
        "cgroup.events": "populated 0\nfrozen 0\n",
        "cgroup.kill": "",
        "cgroup.freeze": "0",
        "memory.max": "max",
        "memory.oom.group": "0",
        "memory.swap.max": "max",
        "memory.current": "0",
        "memory.events": "low 0\noom 0\noom_kill 0\n",
        "memory.stat": "anon 0\nfile 0\nshmem 0\n",
        "pids.max": "max",
        "pids.current": "0",
        "pids.events": "max 0\n",
        "cpu.max": "max 100000",
        "cpu.weight": "100",
        "cpu.stat": "usage_usec 0\n",
    }.items():
        (path / name).write_text(text)
    return path


@pytest.fixture
def cells(tmp_path: Path) -> CellsV2:
    """Cells below a folder that looks delegated."""
    base = cgroup(tmp_path / "base")
    parent = cgroup(base / "quantum-x")
    cgroup(parent / "0")
    return CellsV2(str(base), str(base), "quantum-x", cpu_share=0.8, weight=50)


def test_all_cells_of_v2_share_what_they_get_together(cells: CellsV2, tmp_path: Path) -> None:
    parent = tmp_path / "base" / "quantum-x"
    assert (parent / "cpu.max").read_text().startswith(f"{int((os.cpu_count() or 1) * 0.8 * 100_000)} 100000")
    assert (parent / "cpu.weight").read_text().startswith("50")
    assert cells.enforcement() == {"memory": "kernel", "processes": "kernel", "cpu": "kernel"}


def test_limits_of_v2_hold_once_the_warden_is_out_again(cells: CellsV2, tmp_path: Path) -> None:
    folder = tmp_path / "base" / "quantum-x" / "0"
    cell = cells.cell(0)
    assert cell is not None
    cell.enter(Bounds(memory_bytes=1 << 20, processes_max=20, cpu_cores=0.5))
    assert (folder / "cgroup.procs").read_text() == "0", "this process has gone in"
    assert (folder / "memory.max").read_text().startswith("max")
    assert (folder / "memory.oom.group").read_text().startswith("0")
    cell.leave(4711)
    assert (tmp_path / "base" / "cgroup.procs").read_text() == "0", "and out again"
    assert "1048576" in (folder / "memory.max").read_text()
    assert (folder / "memory.oom.group").read_text().endswith("1"), "a tree over its memory is killed whole"
    assert (folder / "memory.swap.max").read_text().startswith("0"), "what is swapped out would not be counted"
    assert (folder / "pids.max").read_text().startswith("20")
    assert "50000 100000" in (folder / "cpu.max").read_text()


def test_a_cell_of_v2_tells_which_limit_was_run_into(cells: CellsV2, tmp_path: Path) -> None:
    folder = tmp_path / "base" / "quantum-x" / "0"
    cell = cells.cell(0)
    assert cell is not None
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
    cell.enter(Bounds(memory_bytes=1 << 20))
    assert cell.hits() == Hits(False, False), "what was before does not count"
    (folder / "memory.events").write_text("low 0\noom 2\noom_kill 4\n")
    assert cell.hits() == Hits(True, False)
    (folder / "pids.events").write_text("max 1\n")
    assert cell.hits() == Hits(True, True)


def test_a_cell_that_is_not_empty_takes_nobody_in(cells: CellsV2, tmp_path: Path) -> None:
    cell = cells.cell(0)
    assert cell is not None
    (tmp_path / "base" / "quantum-x" / "0" / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(OSError, match="still holds"):
        cell.enter(Bounds())


def test_controllers_that_are_not_all_there_are_not_taken_for_ours(tmp_path: Path) -> None:
    assert not enable_controllers(str(cgroup(tmp_path / "a", "cpu memory")))
    assert not enable_controllers(str(tmp_path / "missing"))
    assert enable_controllers(str(cgroup(tmp_path / "b")))
    assert (tmp_path / "b" / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_a_removed_folder_is_gone_with_what_is_below(tmp_path: Path) -> None:
    (tmp_path / "quantum-y" / "0").mkdir(parents=True)
    assert Folder(str(tmp_path / "quantum-y")).remove()
    assert not (tmp_path / "quantum-y").exists()
    assert Folder(str(tmp_path / "quantum-y")).remove(), "twice is as good as once"


def test_a_cell_of_v1_that_cannot_be_made_leaves_nothing_open(tmp_path: Path) -> None:
    cells = CellsV1({"memory": str(tmp_path)}, "quantum-x", cpu_share=1.0, weight=1024)
    opened = os.listdir("/proc/self/fd")
    for _ in range(3):
        # A folder that is no cgroup has no memory.oom_control.
        with pytest.raises(FileNotFoundError):
            cells.cell(0)
    assert os.listdir("/proc/self/fd") == opened
    assert not (tmp_path / "quantum-x" / "0").exists()
    cells.close()
