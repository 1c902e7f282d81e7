"""A person's decision."""

import pytest

from foundation.errors import Conflict, NotFound
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import Decision, TaskState
from tests.coordinator.desk import USER, Desk


@pytest.mark.parametrize(
    ("decision", "becomes", "child_becomes"),
    [
        (Decision.RUN_AGAIN, TaskState.QUEUED, TaskState.BLOCKED),
        (Decision.SUCCEEDED, TaskState.SUCCEEDED, TaskState.QUEUED),
        (Decision.FAILED, TaskState.FAILED, TaskState.CANCELLED),
    ],
)
async def test_each_decision_moves_the_task_and_its_child(
    decision: Decision, becomes: TaskState, child_becomes: TaskState, desk: Desk
) -> None:
    task, child = await desk.add(TaskRequest(agent="build", ref="p"), TaskRequest(agent="hello", depends_on=("#p",)))
    await desk.undecided(task)
    decided = await desk.decide(task.id, decision, "I looked.", USER)
    assert decided.state is becomes
    assert (await desk.task(task)).reason.startswith("user decided")
    assert (await desk.task(task)).reason.endswith("I looked.")
    assert (await desk.task(child)).state is child_becomes


async def test_there_is_nothing_to_decide_elsewhere(desk: Desk) -> None:
    [task] = await desk.add()
    with pytest.raises(Conflict):
        await desk.decide(task.id, Decision.FAILED, "", USER)
    with pytest.raises(NotFound):
        await desk.decide("0" * 26, Decision.FAILED, "", USER)
