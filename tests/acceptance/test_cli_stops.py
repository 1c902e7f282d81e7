"""`quantum stop --all` and Ctrl-C, typed as people do: everything ends, in order, and stays ended."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable

import pytest

from cli.processes.identity import of_agents
from tests.acceptance.system import System
from tests.waiting import PATIENCE_SECONDS

HOLDS = "echo started; sleep 300 & wait"
DEAF = """trap '' TERM; echo $$ >> "$QUANTUM_WORKSPACE/deaf-to-sigterm"; while :; do sleep 1; done"""
GRACES = pytest.mark.parametrize(
    ("grace", "within"), [(2, math.inf), pytest.param(10, 12.0, marks=[pytest.mark.long, pytest.mark.timeout(200)])]
)
"""With the grace that is the default, how soon nothing runs is held; with a short one, that the wardens see to it."""


@GRACES
def test_stop_all_ends_twenty_tasks_and_holds_until_resume(
    make_system: Callable[..., System], grace: int, within: float
) -> None:
    system = make_system(max_concurrent_agents=20, stop_grace_seconds=grace).init()
    system.agent("holds", HOLDS)
    system.agent("deaf", DEAF)
    system.up()
    tasks = [{"agent": "deaf" if number < 3 else "holds"} for number in range(20)]
    system.quantum("submit", "-", given=json.dumps(tasks), code=0)
    marks = system.root / "deaf-to-sigterm"
    system.until(lambda: marks.exists() and len(marks.read_text().split()) == 3 and running(system) == len(tasks))
    stopped = system.ask("stop", "--all", "--reason", "a test")
    assert stopped["stopped"] is True
    assert grace <= stopped["seconds"] < within
    assert stopped["killed_by_this_command"] == 0
    assert (stopped["coordinator_counts_running"], stopped["runners_hold"]) == (0, {"runner-local": 0})
    assert of_agents(system.root) == []
    system.quantum("down", code=0)
    assert "nothing will start" in system.quantum("status", code=69).out
    assert "quantum up" in system.quantum("resume", code=69).err
    system.up()
    task = system.ask("submit", "hello")["tasks"][0]["id"]
    system.until(lambda: system.ask("why", task)["code"] == "mode", what="the order holds it")
    assert system.ask("queue", "stats")["counts"]["running"] == 0
    system.quantum("resume", code=0)
    assert not system.workspace.stop_file.exists()
    system.until(lambda: system.task(task)["state"] == "succeeded")


def running(system: System) -> int:
    """How many tasks run, as the coordinator counts them."""
    return int(system.ask("queue", "stats")["counts"]["running"])


@GRACES
def test_stop_all_works_with_safety_killed_first(make_system: Callable[..., System], grace: int, within: float) -> None:
    system = make_system(max_concurrent_agents=20, stop_grace_seconds=grace).init()
    system.agent("holds", HOLDS)
    system.agent("deaf", DEAF)
    system.up()
    tasks = [{"agent": "deaf" if number < 3 else "holds"} for number in range(20)]
    system.quantum("submit", "-", given=json.dumps(tasks), code=0)
    marks = system.root / "deaf-to-sigterm"
    system.until(lambda: marks.exists() and len(marks.read_text().split()) == 3 and running(system) == len(tasks))
    runs = system.running
    assert runs.supervisor is not None
    # Without its supervisor, safety stays dead.
    runs.supervisor.send(signal.SIGKILL)
    runs.processes["safety"].send(signal.SIGKILL)
    stopped = system.ask("stop", "--all")
    assert (stopped["stopped"], stopped["safety"]["told"]) == (True, False)
    assert grace <= stopped["seconds"] < within
    assert of_agents(system.root) == []


def test_ctrl_c_in_the_foreground_ends_everything_in_order(workspace: System) -> None:
    up = workspace.start("up")
    assert up.stdout is not None
    assert up.stdout.readline().startswith(b"Everything is healthy")
    alive = workspace.running.alive
    up.send_signal(signal.SIGINT)
    assert up.wait(PATIENCE_SECONDS) == 130
    assert not any(one.alive() for one in alive.values())
    log = [json.loads(line) for line in workspace.workspace.system_log.read_text().splitlines()]
    ends = [line["service"] for line in log if line["action"] in ("gateway_stopped", "rpc_stopped")]
    assert [name for name in ends if name in ("gateway", "coordinator", "safety")] == [
        "gateway",
        "coordinator",
        "safety",
    ]
