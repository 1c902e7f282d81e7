"""A reboot of a real machine: with nobody logged in everything is there again, and what waited goes on."""

from __future__ import annotations

import pytest

from tests.vm.conftest import NewMachine
from tests.vm.machine import Machine
from tests.vm.scene import (
    agent,
    eventually,
    logged_in,
    processes_of_ann,
    submit,
    tasks,
    told_outside,
    until_healthy,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

STARTED = 'echo "began $QUANTUM_TASK_ID $QUANTUM_ATTEMPT" > /dev/ttyS1'
ENDED = 'echo "ended $QUANTUM_TASK_ID $QUANTUM_ATTEMPT" > /dev/ttyS1'
EACH = 5


def test_what_waited_goes_on_with_nobody_logged_in(new_machine: NewMachine) -> None:
    with new_machine() as machine:
        until_healthy(machine)
        assert not logged_in(machine), "the units were started by the boot alone"
        assert "Hello from hello" in machine.quantum("run", "hello").out

        agent(machine, "again", STARTED, "sleep 60", ENDED, effects='"idempotent"')
        agent(machine, "once", STARTED, "sleep 60", ENDED)
        agents = ["again", "once"] * EACH
        ids = {submit(machine, name): name for name in agents}
        at_work = eventually(lambda: _both_at_work(machine, ids), "tasks of both kinds are at work")
        assert len(at_work) < len(ids), "others wait"
        machine.reboot()

        until_healthy(machine)
        assert not logged_in(machine), "it came back by itself"
        seen = eventually(lambda: _all_over(machine, ids), "every task is over, or waits for a person")
        told = told_outside(machine)
        began = {task: sum(line[:2] == ["began", task] for line in told) for task in ids}
        ended = {task: sum(line[:2] == ["ended", task] for line in told) for task in ids}
        print(f"interrupted at work: {len(at_work)}; states: {sorted((ids[task], seen[task]) for task in ids)}")
        for task, name in ids.items():
            if name == "again":
                assert (seen[task], ended[task]) == ("succeeded", 1), (task, began[task])
            else:
                assert began[task] == 1 and ended[task] == (seen[task] == "succeeded"), task
                assert seen[task] == ("needs_decision" if task in at_work and not ended[task] else "succeeded")
        assert any(began[task] == 2 for task in ids), "one that was interrupted has begun again"
        assert "needs_decision" in seen.values(), "one that must not run twice was interrupted"


def _both_at_work(machine: Machine, ids: dict[str, str]) -> set[str]:
    """Those that have begun, once there are some of each kind."""
    begun = {line[1] for line in told_outside(machine) if line[0] == "began"}
    return begun if {ids[task] for task in begun} == {"again", "once"} else set()


def _all_over(machine: Machine, ids: dict[str, str]) -> dict[str, str]:
    seen = tasks(machine)
    return seen if all(seen[task] in ("succeeded", "needs_decision", "failed", "dead") for task in ids) else {}


def test_without_lingering_nothing_runs_until_she_logs_in_and_she_is_told(new_machine: NewMachine) -> None:
    """The control of the test above, and what is done about it."""
    with new_machine() as machine:
        until_healthy(machine)
        machine.run("loginctl", "disable-linger", "ann", by="root")
        machine.reboot()
        state = machine.run("systemctl", "is-system-running", "--wait", by="root", code=None).out.strip()
        assert state in ("running", "degraded")
        assert not processes_of_ann(machine), "nobody has started anything for her"

        login = machine.start("sh", "-c", "echo in; exec sleep 3600", by="session")
        assert login.line(300) == "in"
        until_healthy(machine)
        line = "loginctl enable-linger ann"
        assert line in machine.quantum("service", "status", by="session").out
        units = [
            one for one in machine.ask("doctor", by="session", code=None)["findings"] if one["part"] == "service units"
        ]
        assert [(one["mark"], one["cure"]) for one in units] == [("WARN", line)]

        machine.run(*line.split(), by="session")
        assert line not in machine.quantum("service", "status", by="session").out
        machine.reboot()
        until_healthy(machine)
        assert not logged_in(machine)
