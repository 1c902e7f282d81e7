"""`effects = "once"`: what may have begun is not begun again, also where nobody lived to tell of its start."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.coordinator.domain.task import Effects, TaskState
from tests.coordinator.fleet import Fleet, granted, sent


@pytest.mark.parametrize(
    ("known", "incarnation", "returning", "after"),
    [
        ("1", "2", False, TaskState.NEEDS_DECISION),
        ("1", "1", True, TaskState.QUEUED),
        ("", "1", True, TaskState.QUEUED),
        ("", "2", False, TaskState.NEEDS_DECISION),
        ("1", "2", True, TaskState.NEEDS_DECISION),
    ],
    ids=["killed", "stream broke", "we restarted", "both were killed", "another came between"],
)
async def test_what_must_not_run_twice_goes_back_only_when_its_runner_knows_that_it_has_not_begun(
    fleet: Fleet, known: str, incarnation: str, returning: bool, after: TaskState
) -> None:
    """A runner tells of a start some hundredths of a second later, and does not when it is killed meanwhile."""
    once = await fleet.submit("a", effects=Effects.ONCE)
    again = await fleet.submit("b", effects=Effects.IDEMPOTENT)
    runner = await fleet.runner(capacity=2)
    await fleet.round()
    for lease in granted(sent(runner)):
        held = fleet.holdings.get(lease.id, lease.fence)
        assert held is not None
        held.incarnation = known
    fleet.renewal.detach(runner)
    await fleet.runner(incarnation=incarnation, returning=returning, capacity=0)
    assert (await fleet.task(once)).state is after
    assert not (await fleet.task(once)).leased
    assert (await fleet.task(again)).state is TaskState.QUEUED


async def test_what_must_not_run_twice_waits_for_a_person_when_its_runner_stays_away(fleet: Fleet) -> None:
    once = await fleet.submit("a", effects=Effects.ONCE)
    runner = await fleet.runner()
    await fleet.round()
    fleet.renewal.detach(runner)
    for _ in range(20):
        fleet.clock.advance(timedelta(seconds=4))
        await fleet.renewal.tick()
    assert (await fleet.task(once)).state is TaskState.NEEDS_DECISION
