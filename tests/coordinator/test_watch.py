"""Watching: from any position, without a gap."""

import asyncio
from contextlib import aclosing

import pytest

from foundation.errors import Invalid
from services.coordinator.app import watch as module
from services.coordinator.app.selection import Selection
from services.coordinator.app.watch import Batch, watch_tasks
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from tests.coordinator.desk import Desk


async def test_from_now_on_begins_with_the_present_position(desk: Desk) -> None:
    await desk.add()
    async with aclosing(watch_tasks(desk.store, desk.changes, after=0, ids=())) as batches:
        first = await anext(batches)
        assert (first.tasks, first.position) == ((), 1)
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        assert not waiting.done()
        [task] = await desk.add()
        batch = await waiting
        assert ([each.id for each in batch.tasks], batch.position) == ([task.id], 2)


async def test_a_resumed_watch_sees_each_changed_task_once_in_its_newest_state(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    first, *others = await desk.add(*[TaskRequest(agent="hello")] * 5)
    seen = (await desk.task(first)).change
    await desk.cancel(Selection(ids=(first.id, others[0].id)), "")
    found: dict[str, TaskState] = {}
    count = 0
    async with aclosing(watch_tasks(desk.store, desk.changes, after=seen, ids=())) as batches:
        while len(found) < 5:
            batch = await anext(batches)
            assert len(batch.tasks) <= 2
            assert batch.position == batch.tasks[-1].change
            found |= {task.id: task.state for task in batch.tasks}
            count += len(batch.tasks)
    assert count == 5
    assert list(found.values()).count(TaskState.CANCELLED) == 2


async def test_only_the_tasks_named(desk: Desk) -> None:
    mine, other = await desk.add(*[TaskRequest(agent="hello")] * 2)
    async with aclosing(watch_tasks(desk.store, desk.changes, after=0, ids=(mine.id,))) as batches:
        await anext(batches)
        waiting: asyncio.Future[Batch] = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        await desk.cancel(Selection(ids=(other.id,)), "")
        await desk.cancel(Selection(ids=(mine.id,)), "")
        batch = await waiting
        assert [task.id for task in batch.tasks] == [mine.id]
        assert batch.position == (await desk.task(mine)).change


async def test_a_watcher_of_an_empty_store_misses_nothing_while_it_is_away(desk: Desk) -> None:
    async with aclosing(watch_tasks(desk.store, desk.changes, after=0, ids=())) as watched:
        first = await anext(watched)
    [task] = await desk.add()
    async with aclosing(watch_tasks(desk.store, desk.changes, after=first.position, ids=())) as watched:
        batch = await anext(watched)
    assert [each.id for each in batch.tasks] == [task.id]


async def test_a_position_that_lies_ahead_is_refused(desk: Desk) -> None:
    with pytest.raises(Invalid):
        await anext(watch_tasks(desk.store, desk.changes, after=7, ids=()))


async def test_who_stops_watching_is_forgotten(desk: Desk) -> None:
    before = len(desk.changes._listeners)
    async with aclosing(watch_tasks(desk.store, desk.changes, after=0, ids=())) as batches:
        await anext(batches)
        assert len(desk.changes._listeners) == before + 1
    assert len(desk.changes._listeners) == before
