"""The power goes, without a word: what was acknowledged is there, nothing runs twice that must not, a restore is whole.

The disk has a cache of its own that the cut empties (`write_log`): what no flush has covered is lost, all of it or as
chance leaves it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.vm.conftest import NewMachine
from tests.vm.emulators import logs_writes
from tests.vm.image import Image
from tests.vm.machine import AUTOMATION, Machine, machine
from tests.vm.scene import agent, eventually, found_by_doctor, task, tasks, told_outside, until_healthy
from tests.vm.source import source_disk
from tests.vm.write_log import Loss

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

CUTS = int(os.environ.get("QUANTUM_TEST_VM_CUTS", "5"))
RESTORE_CUTS = int(os.environ.get("QUANTUM_TEST_VM_CUTS", "5"))
PATIENCE_SECONDS = 300.0
PYTHON = "/opt/venv/bin/python"
GUEST = "/opt/quantum/tests/vm/guest"
STARTED = 'echo "began $QUANTUM_TASK_ID $QUANTUM_ATTEMPT" > /dev/ttyS1'
OVER = ("succeeded", "needs_decision", "failed", "dead", "cancelled")
UNSYNCED = {
    "foundation/sqlite/connection.py": (
        "pragma synchronous = {location.synchronous}",
        "pragma synchronous = OFF",
    )
}


def test_what_was_acknowledged_survives(new_machine: NewMachine) -> None:
    chance = Random(0)
    with new_machine(logged=True) as made:
        agents = _prepare(made)
        names: dict[str, str] = {}
        for number in range(CUTS):
            acknowledged = _submit(made, agents, chance.randint(20, 80))
            kept = (0.0, 0.5)[number % 2]
            loss = made.cut(chance=chance, kept=kept)
            sure = {task: name for task, (name, at) in acknowledged.items() if loss is None or at <= loss.end}
            names |= sure
            made.boot()
            until_healthy(made)
            missing = set(names) - set(tasks(made))
            print(
                f"cut {number + 1}: {_said(loss, kept)}; {len(sure)} tasks acknowledged before it, "
                f"{len(missing)} of {len(names)} missing"
            )
            assert len(sure) >= 20 and not missing
            whole = found_by_doctor(made, "databases")
            assert [one["mark"] for one in whole] == ["OK"], whole
        seen = eventually(lambda: _over(made), "every task is over, or waits for a person")
        began = [line[1] for line in told_outside(made) if line[0] == "began" and len(line) == 3]
        twice = {task_id for task_id in names if began.count(task_id) > 1}
        wrongly = {task_id for task_id in twice if names[task_id] == "once"}
        counts = {state: list(seen.values()).count(state) for state in sorted(set(seen.values()))}
        print(f"{len(names)} acknowledged tasks: {counts}; began more than once: {len(twice)}, wrongly {len(wrongly)}")
        assert not wrongly, f"must not run twice: {[_history(made, task_id) for task_id in wrongly]}"
        for task_id, name in names.items():
            if name == "again":
                assert seen[task_id] == "succeeded" and began.count(task_id) >= 1, (task_id, seen[task_id])
            else:
                known = (seen[task_id], began.count(task_id)) == ("succeeded", 1)
                assert known or seen[task_id] == "needs_decision", (task_id, seen[task_id])
        assert "needs_decision" in counts or twice, "some cut has met a task at work"
        made.quantum("backup", "create", timeout=900)


def test_without_its_syncs_it_loses_what_it_acknowledged(new_machine: NewMachine, disks: Path) -> None:
    """The control: the databases flush nothing."""
    unsynced = disks / "unsynced.img"
    source_disk(unsynced, UNSYNCED)
    with new_machine(logged=True, source=unsynced) as made:
        acknowledged = _submit(made, _prepare(made), 40)
        made.cut(chance=Random(0), kept=0.0)
        made.boot()
        until_healthy(made)
        missing = set(acknowledged) - set(tasks(made))
        print(f"without syncs {len(missing)} of {len(acknowledged)} acknowledged tasks are gone")
        assert missing


def _prepare(made: Machine) -> list[str]:
    """Two agents, one of which must not run twice."""
    until_healthy(made)
    agent(made, "again", STARTED, "sleep 1", effects='"idempotent"')
    agent(made, "once", STARTED, "sleep 1")
    return ["again", "once"]


def _submit(made: Machine, agents: list[str], count: int) -> dict[str, tuple[str, int]]:
    """Submit without a pause until so many are acknowledged: each id, its agent, and how long the log then was."""
    token = made.quantum("token", "show").out.strip()
    submitting = made.start(PYTHON, f"{GUEST}/submitting.py", "http://127.0.0.1:5005", *agents, given=token)
    found = {}
    for _ in range(count):
        line = submitting.line(PATIENCE_SECONDS)
        assert line is not None, submitting.lines[-1]
        name, task = line.split()
        found[task] = (name, made.log.stat().st_size)
    return found


def _history(made: Machine, task_id: str) -> tuple[list[list[str]], dict[str, object]]:
    """What was told outside of one task, and how it stands."""
    return [line for line in told_outside(made) if task_id in line], task(made, task_id)


def _said(loss: Loss | None, kept: float) -> str:
    if loss is None:
        return "what was in the machine's own cache is lost"
    return (
        f"{loss.writes} writes, {loss.flushes} flushes, {loss.lost >> 10} KiB of what no flush had covered lost "
        f"({kept:.0%} of it kept)"
    )


def _over(made: Machine) -> dict[str, str]:
    seen = tasks(made)
    return seen if all(state in OVER for state in seen.values()) else {}


def test_a_restore_that_is_cut_off_ends_old_or_new(built: Image, source: Path, installed: Path, disks: Path) -> None:
    if not logs_writes():
        pytest.skip("needs qemu, which logs what is written to the disk: QUANTUM_TEST_VM=qemu")
    chance = Random(1)
    folder = disks / "restoring"
    folder.mkdir()
    with machine(built, folder / "machine", system=installed, source=source, logged=True) as made:
        until_healthy(made)
        made.quantum("run", "hello")
        new = set(tasks(made))
        made.quantum("backup", "create", timeout=900)
        made.quantum("run", "hello")
        old = set(tasks(made))
        assert new < old
        made.quantum("service", "stop", timeout=900)
        made.power_off()
        made.boot()
        steps = list(_steps(made))
        first, last = steps[0][1], steps[-1][1]
        found = []
        for number in range(RESTORE_CUTS):
            # Evenly through the swap, and once just before its end.
            until = last if number + 1 == RESTORE_CUTS else first + (last - first) * number // RESTORE_CUTS
            disk = folder / "cut.img"
            loss = made.cut(chance=chance, kept=(0.0, 0.5)[number % 2], disk=disk, until=until)
            assert loss is not None
            step = sum(at <= until for _, at in steps)
            with machine(built, folder / "after", system=disk, source=source) as after:
                after.quantum("service", "start", timeout=900)
                until_healthy(after)
                seen = set(tasks(after))
                whole = [one["mark"] for one in found_by_doctor(after, "databases")]
            state = "old" if seen == old else "new" if seen == new else "between"
            found.append(state)
            print(f"cut at step {step} of {len(steps)}, {loss.lost >> 10} KiB lost: {state}")
            assert state != "between" and whole == ["OK"], (seen, whole)
        assert {"old", "new"} == set(found), "the swap was cut before its moment and after it"


def _steps(made: Machine) -> Iterator[tuple[str, int]]:
    """Each step of a restore, and how long the log was when it was said."""
    restoring = made.start(PYTHON, f"{GUEST}/restoring.py", AUTOMATION)
    while (line := restoring.line(PATIENCE_SECONDS)) is not None:
        if line.startswith("step "):
            yield line, made.log.stat().st_size
    assert "'code': 0" in restoring.lines[-1], restoring.lines[-3:]
