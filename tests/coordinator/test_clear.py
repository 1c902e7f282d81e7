"""Clearing the queue and taking it back."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from foundation.errors import NotFound
from services.coordinator.app import clear as module
from services.coordinator.app.selection import Selection
from services.coordinator.app.to_the_end import _going_on as going_on
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import TaskFilter
from tests.coordinator.desk import USER, Desk


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)


async def open_tasks(desk: Desk) -> list[Task]:
    found = await desk.store.read(lambda tx: tx.matching(TaskFilter(), after_id="", limit=1000))
    return [task for task in found if not task.ended]


async def test_only_what_waits_goes_and_all_of_it_comes_back_once(desk: Desk) -> None:
    running, leased, *waiting = await desk.add(*[TaskRequest(agent="build")] * 7)
    await desk.run(running)
    await desk.lease(leased)
    count = (await desk.clear("", "", USER, dry_run=True)).count
    done = await desk.clear("", "tidy", USER, dry_run=False)
    assert (count, done.count) == (5, 5)
    assert {task.id for task in await open_tasks(desk)} == {running.id, leased.id}
    stored = await desk.task(waiting[0])
    assert (stored.state, stored.clearing) == (TaskState.CANCELLED, done.clearing_id)
    assert "tidy" in stored.reason

    assert await desk.undo(done.clearing_id, USER) == 5
    assert await desk.undo(done.clearing_id, USER) == 0
    back = [task for task in await open_tasks(desk) if task.retry_of]
    assert sorted(task.retry_of for task in back) == sorted(task.id for task in waiting)
    places = [(await desk.task(task.retry_of)).ready_at for task in back]
    assert [task.ready_at for task in back] == places


async def test_a_caller_who_leaves_midway_leaves_nothing_half_done(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tasks = await desk.add(*[TaskRequest(agent="build")] * 7)
    # The first page is announced while the others are still to come: that is when the callers go.
    callers: list[asyncio.Task[object]] = []

    def leave(changed: Sequence[Task]) -> None:
        for caller in callers:
            caller.cancel()

    desk.changes.subscribe(leave)
    callers.append(asyncio.create_task(desk.clear("", "", USER, dry_run=False)))
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    await asyncio.gather(*going_on)
    assert await open_tasks(desk) == []
    clearing = (await desk.task(tasks[0])).clearing
    assert f"7 tasks were cleared; undo: quantum queue undo {clearing}." in caplog.text

    callers[:] = [asyncio.create_task(desk.undo(clearing, USER))]
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    await asyncio.gather(*going_on)
    assert len(await open_tasks(desk)) == 7

    desk.clock.advance(timedelta(milliseconds=1))
    callers[:] = [asyncio.create_task(desk.cancel(Selection(wanted=TaskFilter()), ""))]
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    await asyncio.gather(*going_on)
    assert await open_tasks(desk) == []


async def test_dependents_go_and_come_with_their_parents(desk: Desk) -> None:
    child, parent, outside = await desk.add(
        TaskRequest(agent="hello", depends_on=("#p", "#o")),
        TaskRequest(agent="build", ref="p"),
        TaskRequest(agent="hello", ref="o"),
    )
    done = await desk.clear("build", "", USER, dry_run=False)
    assert done.count == 2
    assert (await desk.task(child)).clearing == done.clearing_id
    assert (await desk.task(outside)).state is TaskState.QUEUED
    assert await desk.undo(done.clearing_id, USER) == 2
    by_original = {task.retry_of: task for task in await open_tasks(desk) if task.retry_of}
    restored = by_original[child.id]
    assert restored.state is TaskState.BLOCKED
    assert set(restored.depends_on) == {by_original[parent.id].id, outside.id}


async def test_what_can_no_longer_run_comes_back_cancelled(desk: Desk) -> None:
    [parent] = await desk.add(TaskRequest(agent="build"))
    await desk.run(parent)
    child, grandchild, _ = await desk.add(
        TaskRequest(agent="hello", ref="c", depends_on=(parent.id,)),
        TaskRequest(agent="hello", depends_on=("#c",)),
        TaskRequest(agent="hello"),
    )
    done = await desk.clear("hello", "", USER, dry_run=False)
    await desk.end(parent, TaskState.FAILED)
    assert await desk.undo(done.clearing_id, USER) == 3
    everything = await desk.store.read(lambda tx: tx.matching(TaskFilter(), after_id="", limit=1000))
    states = {task.retry_of: task.state for task in everything if task.retry_of}
    assert (states[child.id], states[grandchild.id]) == (TaskState.CANCELLED, TaskState.CANCELLED)


async def test_an_empty_queue_has_no_clearing(desk: Desk) -> None:
    done = await desk.clear("", "", USER, dry_run=False)
    assert (done.count, done.clearing_id) == (0, "")


async def test_an_unknown_clearing_is_not_found(desk: Desk) -> None:
    for name in ("0" * 26, "", "x' or 1=1"):
        with pytest.raises(NotFound):
            await desk.undo(name, USER)


async def test_a_cancelled_task_is_in_no_clearing(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.cancel(Selection(ids=(task.id,)), "")
    assert (await desk.clear("", "", USER, dry_run=False)).count == 0
