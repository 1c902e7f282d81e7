"""Retrying: new tasks with the payload of ended ones."""

import pytest

from foundation.errors import Conflict, Invalid, NotFound
from services.coordinator.app.selection import Selection
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import TaskFilter
from tests.coordinator.desk import USER, Desk


def of(*ids: str) -> Selection:
    return Selection(ids=ids)


async def test_a_retry_is_a_new_task_and_names_the_old_one(desk: Desk) -> None:
    [task] = await desk.add(TaskRequest(agent="build", params=b'{"a": 1}', priority=8, labels={"a": "b"}))
    failed = await desk.end(task, TaskState.FAILED)
    [new] = (await desk.retry(of(task.id), "", USER)).tasks
    assert new.id != task.id
    assert (new.retry_of, new.params, new.priority, dict(new.labels)) == (task.id, '{"a": 1}', 8, {"a": "b"})
    assert (new.state, new.attempt, new.failures) == (TaskState.QUEUED, 0, 0)
    assert await desk.task(task) == failed
    assert desk.announced[-1].id == new.id


async def test_only_ended_tasks_are_retried(desk: Desk) -> None:
    ended, still = await desk.add(TaskRequest(agent="build"), TaskRequest(agent="build"))
    await desk.end(ended)
    with pytest.raises(Conflict, match="only ended tasks"):
        await desk.retry(of(ended.id, still.id), "", USER)


async def test_a_filter_means_what_ended_badly(desk: Desk) -> None:
    tasks = await desk.add(*[TaskRequest(agent="build")] * 4)
    await desk.end(tasks[0], TaskState.FAILED)
    await desk.end(tasks[1], TaskState.DEAD)
    await desk.end(tasks[2], TaskState.SUCCEEDED)
    done = await desk.retry(Selection(wanted=TaskFilter(agent="build")), "", USER)
    assert [task.retry_of for task in done.tasks] == [tasks[0].id, tasks[1].id]


async def test_the_same_key_retries_once(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.end(task, TaskState.FAILED)
    first = await desk.retry(of(task.id), "k", USER)
    again = await desk.retry(of(task.id), "k", USER)
    assert [task.id for task in again.tasks] == [task.id for task in first.tasks]
    with pytest.raises(Conflict):
        await desk.retry(Selection(wanted=TaskFilter()), "k", USER)


async def test_parents_that_are_retried_with_their_children_are_waited_for_anew(desk: Desk) -> None:
    parent, child = await desk.add(TaskRequest(agent="build", ref="p"), TaskRequest(agent="hello", depends_on=("#p",)))
    await desk.cancel(of(parent.id), "")
    new_parent, new_child = (await desk.retry(of(parent.id, child.id), "", USER)).tasks
    assert new_child.depends_on == (new_parent.id,)
    assert new_child.state is TaskState.BLOCKED
    with pytest.raises(Conflict, match="depends on"):
        await desk.retry(of(child.id), "", USER)


async def test_an_agent_that_is_gone_or_broken_is_refused(desk: Desk) -> None:
    [task] = await desk.add(TaskRequest(agent="hello"))
    await desk.end(task, TaskState.FAILED)
    desk.catalogue.specs["hello"] = desk.catalogue.specs["broken"]
    with pytest.raises(Invalid):
        await desk.retry(of(task.id), "", USER)
    del desk.catalogue.specs["hello"]
    with pytest.raises(NotFound):
        await desk.retry(of(task.id), "", USER)
