"""What the end of a task means for those that depend on it."""

from services.coordinator.app.family import release_children
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import Task, TaskState
from tests.coordinator.desk import Desk


async def release(desk: Desk, *ended: Task) -> list[Task]:
    return await desk.store.write(lambda tx: release_children(tx, ended, now=desk.clock.now()))


async def test_the_last_success_lets_a_child_go(desk: Desk) -> None:
    one, two = await desk.add(TaskRequest(agent="build"), TaskRequest(agent="build"))
    [child] = await desk.add(TaskRequest(agent="hello", depends_on=(one.id, two.id)))
    assert await release(desk, await desk.end(one)) == []
    [freed] = await release(desk, await desk.end(two))
    assert (freed.id, freed.state) == (child.id, TaskState.QUEUED)
    assert (await desk.task(child)).state is TaskState.QUEUED


async def test_a_failure_cancels_every_descendant_and_names_its_parent(desk: Desk) -> None:
    parent, *_ = tasks = await desk.add(
        TaskRequest(agent="build", ref="a"),
        TaskRequest(agent="hello", ref="b", depends_on=("#a",)),
        TaskRequest(agent="hello", ref="c", depends_on=("#b",)),
        TaskRequest(agent="hello", ref="d", depends_on=("#a", "#c")),
    )
    changed = await release(desk, await desk.end(parent, TaskState.FAILED))
    assert {task.id for task in changed} == {task.id for task in tasks[1:]}
    grandchild = await desk.task(tasks[2])
    assert grandchild.state is TaskState.CANCELLED
    assert tasks[1].id in grandchild.reason


async def test_an_open_task_lets_nobody_go(desk: Desk) -> None:
    [parent] = await desk.add()
    await desk.add(TaskRequest(agent="hello", depends_on=(parent.id,)))
    assert await release(desk, await desk.undecided(parent)) == []


async def test_a_descendant_is_cancelled_once_however_many_ways_lead_to_it(desk: Desk) -> None:
    top, *rest = await desk.add(
        TaskRequest(agent="build", ref="top"),
        TaskRequest(agent="hello", ref="left", depends_on=("#top",)),
        TaskRequest(agent="hello", ref="right", depends_on=("#top",)),
        TaskRequest(agent="hello", ref="bottom", depends_on=("#left", "#right")),
    )
    [stranger] = await desk.add()
    changed = await release(desk, await desk.end(top, TaskState.FAILED))
    assert sorted(task.id for task in changed) == sorted(task.id for task in rest)
    assert (await desk.task(stranger)).state is TaskState.QUEUED
