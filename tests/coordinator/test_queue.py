"""Holding the queue, and its figures."""

from dataclasses import replace
from datetime import timedelta

from services.coordinator.app.dispatch import PAUSED_FACT
from services.coordinator.app.queue import percentile
from services.coordinator.domain.fleet import FleetView, Parked
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from tests.coordinator.desk import OTHER, USER, Desk


async def test_a_pause_is_remembered_and_says_who_and_why(desk: Desk) -> None:
    assert await desk.queue.pause("lunch", USER)
    assert not await desk.queue.pause("later", OTHER)
    reason = await desk.store.read(lambda tx: tx.fact(PAUSED_FACT))
    assert reason == desk.dispatch.paused
    assert reason is not None
    assert "user" in reason
    assert "lunch" in reason
    assert (await desk.queue.stats()).paused_reason == reason
    assert await desk.queue.resume()
    assert not await desk.queue.resume()
    assert desk.dispatch.paused == ""
    assert await desk.store.read(lambda tx: tx.fact(PAUSED_FACT)) is None


async def test_the_figures_are_those_of_the_store_and_the_fleet(desk: Desk) -> None:
    first, *_ = await desk.add(TaskRequest(agent="hello", priority=1))
    await desk.add(TaskRequest(agent="hello", priority=9), TaskRequest(agent="build", priority=9))
    parked = Parked(scope="agent:hello", code="breaker", reason="It failed.", until=None)
    desk.dispatch.view = FleetView(
        parked={"hello": parked}, waits_seconds=tuple(i / 100 for i in range(100)), ended_last_five_minutes=10
    )
    stats = await desk.queue.stats()
    assert (stats.open, stats.counts[TaskState.QUEUED]) == (3, 3)
    assert stats.oldest_ready_at == first.ready_at
    assert [(scope.parked, scope.tasks) for scope in stats.parked] == [(parked, 2)]
    assert (stats.throughput_per_minute, stats.wait_p50_seconds, stats.wait_p99_seconds) == (2, 0.5, 0.99)
    assert stats.disk_free_bytes == 5

    desk.dispatch.view = replace(desk.dispatch.view, stopped=Parked(scope="fleet", code="mode", reason="", until=None))
    desk.dispatch.paused = "Paused."
    assert [(scope.parked.scope, scope.tasks) for scope in (await desk.queue.stats()).parked] == [
        ("queue", 3),
        ("fleet", 3),
        ("agent:hello", 2),
    ]


async def test_an_empty_queue_has_no_oldest_and_no_waits(desk: Desk) -> None:
    stats = await desk.queue.stats()
    assert (stats.oldest_ready_at, stats.wait_p50_seconds, stats.open) == (None, None, 0)


def test_a_percentile_of_one_is_that_one() -> None:
    assert percentile((4.0,), 0.99) == 4.0


async def test_what_is_due_is_queued_at_the_moment_it_was_due(desk: Desk) -> None:
    at = desk.clock.now() + timedelta(hours=1)
    soon, later = await desk.add(
        TaskRequest(agent="hello", not_before=at), TaskRequest(agent="hello", not_before=at + timedelta(hours=1))
    )
    assert await desk.due.release() == at
    desk.clock.advance(timedelta(minutes=90))
    assert await desk.due.release() == at + timedelta(hours=1)
    stored = await desk.task(soon)
    assert (stored.state, stored.ready_at) == (TaskState.QUEUED, at)
    assert (await desk.task(later)).state is TaskState.SCHEDULED
    assert desk.announced[-1].id == soon.id
    desk.clock.advance(timedelta(hours=1))
    assert await desk.due.release() is None
