"""Cancelling in every state, one or many."""

import pytest

from foundation.errors import Invalid, NotFound
from services.coordinator.app import cancel as module
from services.coordinator.app.selection import Selection
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import TaskFilter
from tests.coordinator.desk import Desk

EVERYTHING = Selection(wanted=TaskFilter())


async def test_what_waits_is_cancelled_at_once_with_its_descendants(desk: Desk) -> None:
    parent, child = await desk.add(TaskRequest(agent="build", ref="p"), TaskRequest(agent="hello", depends_on=("#p",)))
    done = await desk.cancel(Selection(ids=(parent.id,)), "not wanted")
    assert done.count == 2
    assert (await desk.task(parent)).reason == "not wanted"
    assert {(await desk.task(task)).state for task in (parent, child)} == {TaskState.CANCELLED}
    assert {task.id for task in desk.announced[-2:]} == {parent.id, child.id}


async def test_what_runs_is_acknowledged_and_stays_held(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.run(task)
    done = await desk.cancel(Selection(ids=(task.id,)), "stop it")
    assert (done.count, done.already_ended) == (1, [])
    stored = await desk.task(task)
    assert (stored.state, stored.cancel_requested, stored.reason) == (TaskState.RUNNING, True, "stop it")
    again = await desk.cancel(Selection(ids=(task.id,)), "stop it now")
    assert again.count == 1
    assert (await desk.task(task)).reason == "stop it"


async def test_a_lease_that_is_not_spawned_is_asked_back(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.lease(task)
    await desk.cancel(Selection(ids=(task.id,)), "")
    stored = await desk.task(task)
    assert (stored.state, stored.cancel_requested) == (TaskState.QUEUED, True)


async def test_what_waits_for_a_person_can_be_cancelled(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.undecided(task)
    await desk.cancel(Selection(ids=(task.id,)), "")
    assert (await desk.task(task)).state is TaskState.CANCELLED


async def test_an_ended_task_is_named_and_not_touched(desk: Desk) -> None:
    [task] = await desk.add()
    ended = await desk.end(task)
    done = await desk.cancel(Selection(ids=(task.id,)), "")
    assert (done.count, done.already_ended) == (0, [task.id])
    assert await desk.task(task) == ended


async def test_an_unknown_id_changes_nothing(desk: Desk) -> None:
    [task] = await desk.add()
    with pytest.raises(NotFound, match="nothing was changed"):
        await desk.cancel(Selection(ids=(task.id, "0" * 26)), "")
    assert (await desk.task(task)).state is TaskState.QUEUED


@pytest.mark.parametrize("selection", [Selection(), Selection(ids=("a",), wanted=TaskFilter())])
async def test_a_selection_says_one_thing(selection: Selection, desk: Desk) -> None:
    with pytest.raises(Invalid):
        await desk.cancel(selection, "")


async def test_a_filter_walks_in_pages_over_all_that_match(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    builds = await desk.add(*[TaskRequest(agent="build")] * 8)
    [other] = await desk.add(TaskRequest(agent="hello"))
    await desk.run(builds[4])
    await desk.end(builds[0])
    done = await desk.cancel(Selection(wanted=TaskFilter(agent="build")), "all of them")
    assert done.count == 7
    states = [(await desk.task(task)).state for task in builds]
    assert states.count(TaskState.CANCELLED) == 6
    assert (await desk.task(builds[4])).cancel_requested
    assert (await desk.task(other)).state is TaskState.QUEUED


async def test_a_filter_of_ended_states_cancels_nothing(desk: Desk) -> None:
    await desk.add()
    done = await desk.cancel(Selection(wanted=TaskFilter(states=frozenset({TaskState.FAILED}))), "")
    assert done.count == 0


async def test_an_empty_filter_means_everything(desk: Desk) -> None:
    await desk.add(*[TaskRequest(agent="build"), TaskRequest(agent="hello")])
    assert (await desk.cancel(EVERYTHING, "")).count == 2
