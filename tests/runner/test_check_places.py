"""Merge checks start beside the tasks, however many run; and what a script's git hooks see."""

from __future__ import annotations

import pytest

from services.agent_runner.warden.environment import base_environment
from tests.runner.fake_coordinator import RunnerUnderTest


async def test_a_check_starts_while_every_slot_is_taken_and_gives_none_away(runner: RunnerUnderTest) -> None:
    await runner.start(max_concurrent_agents=1)
    assert runner.coordinator.hellos[-1].checks_max == 2
    running, waiting = runner.lease("sleep 100"), runner.lease("echo task")
    runner.coordinator.lease(running, waiting)
    await runner.coordinator.event(running, "started")
    check = runner.lease('echo "check $QUANTUM_HOOK_DEPTH"', check=True)
    runner.coordinator.lease(check)
    result = await runner.coordinator.result(check)
    assert (result.exit_code, result.output_tail) == (0, "check 1\n")
    ended = [event.attempt.task_id for event in runner.coordinator.events if event.WhichOneof("event") == "result"]
    assert ended == [check.task_id], "the task that waits for a slot has none of a check's"


@pytest.mark.parametrize(
    ("own", "told"), [(None, "1"), ("", "1"), ("1", "2"), ("7", "8"), ("-1", "1"), ("x", "1"), ("9" * 10, "1")]
)
def test_how_deep_a_script_is_below_hooks(own: str | None, told: str) -> None:
    environment = {} if own is None else {"QUANTUM_HOOK_DEPTH": own}
    assert base_environment(environment)["QUANTUM_HOOK_DEPTH"] == told
