"""Nobody starts the task of a merge check but a merge: by hand it would have nothing to do."""

from datetime import timedelta

import pytest

from foundation.errors import Invalid
from services.coordinator.app.retention import Retention, RetentionRules
from services.coordinator.app.selection import Selection
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import TaskFilter
from tests.coordinator.desk import KEYS_GOOD_FOR, USER, Desk
from tests.coordinator.merging import CHECK_AGENT, B, C, Merging
from tests.coordinator.tasks import task


@pytest.fixture
def desk(desk: Desk) -> Desk:
    desk.catalogue.specs["merge-check"] = CHECK_AGENT
    return desk


async def test_it_is_not_submitted(desk: Desk) -> None:
    with pytest.raises(Invalid, match="for merges alone") as said:
        await desk.add(TaskRequest(agent="merge-check"))
    assert "quantum merge" in said.value.remedy
    desk.catalogue.specs["merge-check"] = CHECK_AGENT.__class__(name="merge-check", script="/own.sh")
    assert await desk.add(TaskRequest(agent="merge-check")), "the control: an agent of one's own is like any other"


async def test_it_is_not_retried_and_keeps_no_other_from_it(desk: Desk) -> None:
    (other,) = await desk.add()
    await desk.end(other, TaskState.FAILED)
    check = task(TaskState.FAILED, agent="merge-check")
    await desk.store.write(lambda tx: tx.insert([check]))
    with pytest.raises(Invalid, match="for merges alone"):
        await desk.retry(Selection(ids=(check.id,)), "", USER)
    done = await desk.retry(Selection(wanted=TaskFilter()), "", USER)
    assert [each.retry_of for each in done.tasks] == [other.id]


async def test_it_does_not_come_back_with_a_clearing(desk: Desk) -> None:
    await desk.add()
    check = task(agent="merge-check", created_at=desk.clock.now(), ready_at=desk.clock.now(), id=desk.ids.new())
    await desk.store.write(lambda tx: tx.insert([check]))
    desk.clock.advance(timedelta(milliseconds=1))
    cleared = await desk.clear("", "tidy", USER, dry_run=False)
    assert cleared.count == 2
    assert await desk.undo(cleared.clearing_id, USER) == 1


async def test_old_checks_go_with_the_tasks_that_nobody_has_decided_on(merging: Merging) -> None:
    rules = RetentionRules(
        ended=timedelta(days=1), undecided=timedelta(days=3), keys=KEYS_GOOD_FOR, rows_max=100, bytes_max=1 << 30
    )
    retention = Retention(merging.store, rules, clock=merging.clock)
    over = await merging.rolled_back(B)
    still = (await merging.start(C)).check
    merging.clock.advance(timedelta(days=2))
    await retention.prune()
    assert (await merging.check(over)).undo, "its task is gone, and it can be undone"
    merging.clock.advance(timedelta(days=2))
    await retention.prune()
    assert [check.id for check in await merging.checks()] == [still.id]
