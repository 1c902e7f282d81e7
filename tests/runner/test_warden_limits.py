"""Every limit of the tree, with the kernel holding what it can and without it; each with its control."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from services.agent_runner.warden.cgroup_files import value_of
from services.agent_runner.warden.cgroups_linux import folders_of, open_cells
from services.agent_runner.warden.protocol import Ended, Refused, Shutdown, Spawned
from tests.runner.gate import Gate
from tests.runner.support import WardenUnderTest
from tests.waiting import Stopwatch, until

MODES = ("auto", "off")


class Hog(NamedTuple):
    """A script that takes something and holds it for HOLD seconds, and the limit that is to end it before."""

    script: str
    limit: dict[str, float | int]
    cause: str
    sentence: str


PYTHON = "#!/usr/bin/env python3\n"
HOGS = {
    "memory": Hog(
        # Four children of 30 MB; the parent would notice if one of them were picked.
        PYTHON
        + "import subprocess, sys\n"
        + "grow = 'import time; x = []\\nfor _ in range(15): x.append(bytes([1]) * (1 << 21)); time.sleep(0.02)'\n"
        + "grow += '\\ntime.sleep(HOLD)'\n"
        + "children = [subprocess.Popen([sys.executable, '-S', '-E', '-c', grow]) for _ in range(4)]\n"
        + "print('halved' if any(child.wait() for child in children) else 'whole', flush=True)\n",
        {"memory_bytes": 64 << 20},
        "memory",
        r"killed: memory 64 MB limit, tree used [\d.]+ MB( and asked for more)?",
    ),
    "processes": Hog(
        "#!/bin/sh\nfor i in $(seq 40); do sleep HOLD & done; wait\n",
        {"processes_max": 20},
        "processes",
        r"killed: processes 20 limit, tree had \d+( and asked for more)?",
    ),
    "threads": Hog(
        PYTHON
        + "import threading, time\n"
        + "many = [threading.Thread(target=time.sleep, args=(HOLD,)) for _ in range(40)]\n"
        + "for each in many: each.start()\n",
        {"processes_max": 20},
        "processes",
        r"killed: processes 20 limit, tree had \d+( and asked for more)?",
    ),
    "output": Hog(
        "#!/bin/sh\nhead -c 3000000 /dev/zero; sleep HOLD\n",
        {"output_bytes_max": 1 << 20},
        "output",
        r"killed: output 1 MB limit, script wrote [\d.]+ MB",
    ),
    "files": Hog(
        '#!/bin/sh\ncd "$QUANTUM_WORKDIR" && mkdir a && seq 400 | (cd a && xargs touch)\n',
        {"work_files_max": 300},
        "files",
        r"killed: files 300 limit, work folder held \d+",
    ),
    "disk": Hog(
        '#!/bin/sh\nhead -c 3000000 /dev/zero > "$QUANTUM_WORKDIR/large"; sleep HOLD\n',
        {"work_bytes_max": 1 << 20},
        "disk",
        r"killed: disk 1 MB limit, work folder took [\d.]+ MB",
    ),
    "cpu_time": Hog(
        "#!/bin/sh\nfor i in 1 2; do sh -c 'i=0; while [ $i -lt ROUNDS ]; do i=$((i + 1)); done' & done; wait\n",
        {"cpu_seconds": 0.1},
        "cpu_time",
        r"ended: used more than its 0\.1s of processor time \(cpu_time\)",
    ),
    "timeout": Hog(
        "#!/bin/sh\nsleep HOLD\n", {"timeout": 0.5}, "timeout", r"ended: ran longer than its 0\.5s \(timeout\)"
    ),
    "idle": Hog(
        "#!/bin/sh\necho a; sleep HOLD\n", {"idle_timeout": 0.4}, "idle", r"ended: wrote nothing for its 0\.4s .*"
    ),
}


@pytest.fixture(params=MODES)
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WardenUnderTest]:
    """A warden in each mode; where no cgroup may be written there is only one."""
    warden = WardenUnderTest(tmp_path, f"limits-{os.getpid()}", kernel_limits=request.param)
    try:
        if request.param == "auto" and warden.ready.enforcement["memory"] != "kernel":
            pytest.skip("no cgroup may be written here (as root, or in a delegated subtree, it may)")
        yield warden
    finally:
        warden.close()


def written(name: str, *, hold: float, rounds: int) -> str:
    """The script of a hog that holds what it took for so many seconds, or turns so many times."""
    return HOGS[name].script.replace("HOLD", str(hold)).replace("ROUNDS", str(rounds))


def start(warden: WardenUnderTest, name: str, *, hold: float, rounds: int, **limit: object) -> None:
    """Start a hog by its name."""
    script = warden.script(name, written(name, hold=hold, rounds=rounds))
    warden.send(warden.order(script, name, grace=30.0, **limit))


def check(ended: Ended, hog: Hog) -> None:
    """Ended by its own limit, with its own sentence, whole."""
    assert ended.cause == hog.cause and re.fullmatch(hog.sentence, ended.sentence), (ended.cause, ended.sentence)
    assert ended.tree_dead


def test_each_hog_is_ended_by_its_own_limit_and_its_neighbours_finish(held: WardenUnderTest) -> None:
    for name, hog in HOGS.items():
        start(held, name, hold=300, rounds=10**9, **hog.limit)
    held.send(held.order(held.shell("sleep 0.4; echo well"), "neighbour"))
    for name, hog in HOGS.items():
        ended = held.ended(name)
        check(ended, hog)
        print(f"{name}: {ended.sentence}")
        if name == "memory":
            assert held.output(ended.slot) == b"", "a part of it was killed, and the rest saw it"
    neighbour = held.ended("neighbour")
    assert (neighbour.cause, neighbour.status) == ("exit", 0)


def test_without_its_limit_each_hog_ends_by_itself(tmp_path: Path) -> None:
    """The control of the test above."""
    warden = WardenUnderTest(tmp_path, f"limits-{os.getpid()}")
    try:
        for name in HOGS:
            start(warden, name, hold=0.6, rounds=250_000)
        for name in HOGS:
            ended = warden.ended(name)
            assert (ended.cause, ended.status) == ("exit", 0), (name, ended)
    finally:
        warden.close()


def test_what_grows_gets_no_grace(held: WardenUnderTest) -> None:
    script = held.script("deaf", written("output", hold=300, rounds=0).replace("\n", "\ntrap '' TERM\n", 1))
    watch = Stopwatch()
    ended = held.run(script, grace=30.0, output_bytes_max=1 << 20)
    check(ended, HOGS["output"])
    assert os.waitstatus_to_exitcode(ended.status) == -signal.SIGKILL
    assert watch.seconds < 20


def test_a_limit_of_one_process_lets_one_process_run(held: WardenUnderTest) -> None:
    assert held.run(held.shell("exec true"), "one", processes_max=1).cause == "exit"
    assert held.run(held.shell("sleep 300 & wait"), "two", processes_max=1).cause == "processes"


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[WardenUnderTest]:
    """A warden whose limits the kernel holds."""
    warden = WardenUnderTest(tmp_path, f"limits-{os.getpid()}", cpu_limit=90)
    try:
        if warden.ready.enforcement["memory"] != "kernel":
            pytest.skip("no cgroup may be written here (as root, or in a delegated subtree, it may)")
        yield warden
    finally:
        warden.close()


def test_a_script_is_born_in_its_cell_and_the_warden_stays_outside(kernel: WardenUnderTest) -> None:
    before = Path(f"/proc/{kernel.pid}/cgroup").read_text()
    ended = kernel.run(kernel.shell("cat /proc/self/cgroup"), memory_bytes=1 << 30)
    cells = [line for line in kernel.output(ended.slot).decode().splitlines() if "/quantum-" in line]
    assert {"memory", "pids", "cpu"} <= {name for line in cells for name in line.split(":")[1].split(",")} or any(
        line.startswith("0::") for line in cells
    )
    assert Path(f"/proc/{kernel.pid}/cgroup").read_text() == before and "quantum-" not in before


def test_the_processor_share_of_a_tree_is_held(kernel: WardenUnderTest) -> None:
    busy = kernel.shell("(while :; do :; done) & while :; do :; done")
    ended = kernel.run(busy, cpu_cores=0.02, timeout=1.5, grace=0.2)
    share = ended.cpu_seconds / (ended.ended_at - ended.started_at)
    held = throttled(kernel, ended.slot)
    print(f"used {share:.2f} of 0.02 cores, held back {held} times")
    assert ended.cause == "timeout" and share < 0.1 and held > 0
    free = kernel.run(busy, "free", timeout=1.5, grace=0.2)
    assert throttled(kernel, free.slot) == 0, "nothing holds the control"


def throttled(warden: WardenUnderTest, slot: int) -> int:
    """How often the kernel has held back what ran in a slot; of v1, where processors have a hierarchy of their own."""
    files = [Path(folder, str(slot), "cpu.stat") for folder in folders_of(warden.mark)]
    texts = [file.read_text() for file in files if file.exists()]
    return max(value_of(text.encode(), b"nr_throttled") for text in texts)


def test_no_cgroup_outlives_its_warden(kernel: WardenUnderTest) -> None:
    run = kernel.mark
    kernel.run(kernel.shell("true"))
    assert folders_of(run), "there were some"
    kernel.send(Shutdown("the test is over"))
    kernel.wait_gone()
    assert not folders_of(run)


def test_the_cgroups_of_a_killed_warden_are_removed_by_the_next_one(tmp_path: Path) -> None:
    first = WardenUnderTest(tmp_path, f"killed-{os.getpid()}")
    run = first.mark
    if first.ready.enforcement["memory"] != "kernel":
        first.close()
        pytest.skip("no cgroup may be written here (as root, or in a delegated subtree, it may)")
    first.run(first.shell("true"))
    os.kill(first.pid, signal.SIGKILL)
    first.wait_gone()
    assert folders_of(run), "it could not remove them"
    second = WardenUnderTest(tmp_path, f"next-{os.getpid()}")
    assert not folders_of(run)
    second.close()


def test_memory_that_an_earlier_task_left_is_not_counted_against_the_next(kernel: WardenUnderTest) -> None:
    left = Path(f"/dev/shm/quantum-test-{os.getpid()}")
    try:
        script = kernel.shell(f"head -c 30000000 /dev/zero > {left}")
        for key in "abcd":
            ended = kernel.run(script, key, memory_bytes=40 << 20)
            assert (ended.cause, ended.status) == ("exit", 0), ended
            kernel.release(ended.slot)
        assert left.stat().st_size == 30_000_000
    finally:
        left.unlink(missing_ok=True)


def test_a_tree_that_waits_for_memory_is_ended_although_it_is_young(kernel: WardenUnderTest) -> None:
    script = kernel.script("at-once", PYTHON + "x = b'x' * (200 << 20)\n")
    ended = kernel.run(script, memory_bytes=32 << 20)
    check(ended, HOGS["memory"]._replace(sentence=r"killed: memory 32 MB limit, tree used 32 MB and asked for more"))


def test_cells_are_made_once(kernel: WardenUnderTest) -> None:
    made = []
    for key in "abc":
        ended = kernel.run(kernel.shell("true"), key)
        kernel.release(ended.slot)
        made.append({os.stat(folder).st_ino for folder in folders_of(kernel.mark)})
    assert made[0] == made[1] == made[2]


def taken_away(cell: Path) -> bool:
    """Move everything out of a cell and remove it; false when something was forked in it meanwhile."""
    for pid in (cell / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            (cell.parent.parent / "cgroup.procs").write_text(pid)
    try:
        cell.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def test_a_cell_that_is_taken_away_takes_the_warden_not_along(kernel: WardenUnderTest, gate: Gate) -> None:
    kernel.send(kernel.order(kernel.shell(gate.wait), processes_max=20, memory_bytes=1 << 30, cpu_seconds=50.0))
    slot = kernel.expect(Spawned).slot
    for path in folders_of(kernel.mark):
        until(partial(taken_away, Path(path, str(slot))), "the cell is gone")
    gate.open()
    ended = kernel.ended()
    assert (ended.cause, ended.status) == ("exit", 0)
    kernel.release(slot)
    # Its successor in that slot is refused for the moment, and no slot is lost for good.
    kernel.send(kernel.order(kernel.shell("exit 3"), "b"))
    assert kernel.expect(Refused).cause == "resources"
    assert os.waitstatus_to_exitcode(kernel.run(kernel.shell("exit 3"), "c").status) == 3


def test_what_somebody_has_moved_into_a_cell_refuses_one_start_and_stays_alone(kernel: WardenUnderTest) -> None:
    kernel.release(kernel.run(kernel.shell("true")).slot)
    stranger = subprocess.Popen(["sleep", "100"])
    try:
        for folder in folders_of(kernel.mark):
            if (procs := Path(folder, "0", "cgroup.procs")).exists():
                procs.write_text(str(stranger.pid))
        kernel.send(kernel.order(kernel.shell("exit 3"), "b"))
        assert kernel.expect(Refused).cause == "resources"
        assert os.waitstatus_to_exitcode(kernel.run(kernel.shell("exit 3"), "c").status) == 3
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("mode", MODES)
def test_without_room_for_its_files_an_attempt_is_refused_and_the_others_are_watched(
    tmp_path: Path, gate: Gate, mode: str
) -> None:
    warden = WardenUnderTest(tmp_path, kernel_limits=mode, at_once=100, open_files=100)
    script = warden.shell(f"{gate.wait}; exit 3")
    told = [warden.order(script, str(number), memory_bytes=1 << 30, processes_max=20) for number in range(80)]
    warden.send(*told)
    refused = warden.expect(Refused)
    assert refused.cause == "resources", refused
    gate.open()
    assert os.waitstatus_to_exitcode(warden.ended("0").status) == 3
    warden.close()


def test_more_services_than_files_may_be_open_run(tmp_path: Path, gate: Gate) -> None:
    warden = WardenUnderTest(tmp_path, at_once=100, open_files=160)
    script = warden.shell(gate.wait)
    for number in range(20):
        warden.send(warden.order(script, str(number), beside=True, memory_bytes=1 << 30, processes_max=20))
    for _ in range(20):
        warden.expect(Spawned)
    gate.open()
    assert all(warden.ended(str(number)).status == 0 for number in range(20))
    warden.close()


def test_somebody_elses_idle_cells_are_left_alone(kernel: WardenUnderTest) -> None:
    before = folders_of(kernel.mark)
    open_cells(f"another-{os.getpid()}", cpu_share=1.0).close()
    assert before and folders_of(kernel.mark) == before
    assert kernel.run(kernel.shell("true")).status == 0
    until(lambda: folders_of(kernel.mark) == before or None, "the cells are as they were")
