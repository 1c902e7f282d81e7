"""What safety holds: running attempts that it has frozen, projects whose tasks are set aside."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.coordinator.app import aside
from services.coordinator.app.attachments import Beat, Order, OrderKind
from services.coordinator.domain.attempt import Frozen
from services.coordinator.domain.task import TaskState
from services.coordinator.ports_safety import Renewal as Answer
from services.coordinator.ports_safety import Verdict
from tests.coordinator.fleet import Fleet, ended, granted, sent, started

pytestmark = pytest.mark.asyncio


def orders(messages: Sequence[object]) -> list[tuple[OrderKind, str]]:
    return [(message.kind, message.reason) for message in messages if isinstance(message, Order)]


PROJECT_HELD = Verdict(
    admitted=False, scope="project:app", code="breaker", reason="project app is held", ask_again_at=None
)


async def test_a_held_project_holds_its_own_tasks_and_nobody_elses(fleet: Fleet) -> None:
    fleet.gate.by_project["app"] = PROJECT_HELD
    held = [await fleet.submit("a", project="app", priority=9) for _ in range(30)]
    other = await fleet.submit("a", project="web")
    runner = await fleet.runner(capacity=5)
    await fleet.round()
    assert [task.id for task in granted(sent(runner))] == [other.id], "the agent goes on in another project"
    view = fleet.dispatch.fleet()
    assert view.parked == {}
    assert view.held_projects["project:app"].reason == "project app is held"
    asked = len(fleet.gate.asked)
    fleet.dispatch.wake()
    await fleet.round()
    assert len(fleet.gate.asked) == asked, "what is held is not asked for again"
    del fleet.gate.by_project["app"]
    fleet.gate.epoch += 1
    await fleet.renewal.tick()
    await fleet.tell(runner, started(other_lease := await fleet.task(other), fleet.now()))
    await fleet.tell(runner, ended(other_lease, fleet.now()))
    await fleet.round()
    assert [task.id for task in granted(sent(runner))] == [task.id for task in held[:5]], "in their order"
    assert fleet.dispatch.fleet().held_projects == {}


async def test_a_million_tasks_of_a_held_project_are_not_carried_along(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "ASIDE_MAX", 10)
    fleet.gate.by_project["app"] = PROJECT_HELD
    for _ in range(30):
        await fleet.submit("a", project="app")
    await fleet.runner(capacity=5)
    await fleet.round()
    assert len(fleet.gate.asked) <= 15
    assert fleet.dispatch.fleet().parked["a"].scope == "project:app"


async def test_a_frozen_fleet_pauses_what_runs_says_why_and_goes_on(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()))
    fleet.gate.answer = Answer(action="pause", code="mode", reason="the mode is FROZEN, set by ann: a look")
    await fleet.renewal.tick()
    assert orders(sent(runner)) == [(OrderKind.PAUSE, "the mode is FROZEN, set by ann: a look")]
    await fleet.tell(runner, Frozen(task.id, lease.fence, True))
    await fleet.renewal.tick()
    assert orders(sent(runner)) == [], "told once"
    assert (await fleet.task(task)).state is TaskState.PAUSED
    pause = fleet.dispatch.fleet().pauses[task.id]
    assert (pause.code, pause.reason) == ("mode", "the mode is FROZEN, set by ann: a look")
    fleet.gate.answer = Answer(action="continue")
    await fleet.renewal.tick()
    assert orders(sent(runner)) == [(OrderKind.CONTINUE, "")]
    await fleet.tell(runner, Frozen(task.id, lease.fence, False))
    assert (await fleet.task(task)).state is TaskState.RUNNING
    assert fleet.dispatch.fleet().pauses == {}


async def test_what_is_frozen_for_a_day_is_ended(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()), Frozen(task.id, lease.fence, True))
    fleet.gate.answer = Answer(action="pause", code="spend", reason="the day's money is spent")
    said = []
    for hour in range(26):
        fleet.clock.advance(timedelta(hours=1))
        fleet.renewal.heartbeat(runner, Beat(sequence=hour, held=[(lease.id, lease.fence)]))
        await fleet.renewal.tick()
        said += [(hour, *order) for order in orders(sent(runner))]
    # First seen frozen in hour 0, so the 24th of them is not over before the look in hour 25.
    assert said == [(25, OrderKind.STOP, "It was frozen for too long: the day's money is spent")]


async def test_a_lease_that_waits_for_its_spawn_is_renewed_too(fleet: Fleet) -> None:
    """It may be a probe: were its permit to run out, a second probe would start beside it."""
    task = await fleet.submit("a")
    await fleet.runner()
    await fleet.round()
    await fleet.renewal.tick()
    assert [task_id for task_id, _ in fleet.gate.renewed] == [task.id]
