"""Showing tasks."""

import pytest

from foundation.errors import Invalid, NotFound
from services.coordinator.app.tasks import get_task, list_tasks, read_token, write_token
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import TaskFilter
from tests.coordinator.desk import Desk


async def test_a_task_comes_with_its_output(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.end(task, output="all is well")
    found, output, fault, stragglers = await get_task(desk.store, task.id)
    assert (found.state, output, fault, stragglers) == (TaskState.SUCCEEDED, "all is well", "", 0)


@pytest.mark.parametrize("name", ["", "0" * 26, "../../etc", "x" * 10_000])
async def test_what_is_not_there_is_not_found(name: str, desk: Desk) -> None:
    with pytest.raises(NotFound):
        await get_task(desk.store, name)


async def test_pages_go_on_where_the_last_one_ended_newest_first(desk: Desk) -> None:
    tasks = [(await desk.add(TaskRequest(agent="hello")))[0] for _ in range(5)]
    [other] = await desk.add(TaskRequest(agent="build"))
    seen, token = [], ""
    while True:
        page = await list_tasks(desk.store, TaskFilter(agent="hello"), size=2, token=token)
        seen += [task.id for task in page.tasks]
        token = page.next_token
        if not token:
            break
    assert seen == [task.id for task in reversed(tasks)]
    assert page.counts[TaskState.QUEUED] == 6
    assert other.id not in seen


async def test_the_token_survives_its_way(desk: Desk) -> None:
    [task] = await desk.add()
    assert read_token(write_token(task)) == (task.created_at, task.id)


@pytest.mark.parametrize("token", ["x", "1-2", "-" + "0" * 26, "9" * 30 + "-" + "0" * 26])
async def test_a_token_of_elsewhere_is_refused(token: str, desk: Desk) -> None:
    with pytest.raises(Invalid):
        await list_tasks(desk.store, TaskFilter(), size=1, token=token)


async def test_a_page_has_bounds(desk: Desk) -> None:
    for size in (-1, 1001):
        with pytest.raises(Invalid):
            await list_tasks(desk.store, TaskFilter(), size=size, token="")
