"""Whether an attempt may move a branch: only the one that does the check, while nothing has come in between."""

import pytest

from foundation.errors import Denied, Invalid, NotFound, Unavailable
from foundation.ids import SequentialIds
from services.coordinator.app.attachments import Order
from services.coordinator.app.cancel import Cancel
from services.coordinator.app.merges_confirm import Confirmation
from services.coordinator.app.selection import Selection
from services.coordinator.domain.merge_check import Event, MergeCheck
from services.coordinator.domain.task import Task
from tests.coordinator.fleet import sent
from tests.coordinator.merging import A, B, C, Merging

MAY = Confirmation(True)


async def confirm(merging: Merging, check: MergeCheck, task: Task, old: str = A, new: str = B) -> Confirmation:
    return await merging.guard.confirm(check.id, (task.id, task.fence), old=old, new=new)


async def running(merging: Merging, new: str = B) -> tuple[MergeCheck, Task]:
    check = (await merging.start(new)).check
    return check, await merging.begin(check)


async def test_the_attempt_that_does_it_may_and_what_it_found_is_kept(merging: Merging) -> None:
    check, task = await running(merging)
    assert await confirm(merging, check, task, C, B) == MAY
    kept = await merging.check(check)
    assert (kept.old, kept.new, kept.confirmed_at) == (C, B, merging.clock.now())
    merging.restart()
    assert await confirm(merging, check, task, C, B) == MAY, "asked again after a break"


async def test_nobody_else_may(merging: Merging) -> None:
    check, task = await running(merging)
    other, others_task = await running(merging, C)
    with pytest.raises(Denied):
        await confirm(merging, check, others_task)
    with pytest.raises(NotFound):
        await merging.guard.confirm(SequentialIds().new(), (task.id, task.fence), old=A, new=B)
    with pytest.raises(Invalid):
        await confirm(merging, check, task, new="main")
    for stale in (task.fence - 1, task.fence + 1):
        said = await confirm(merging, check, task._replace(fence=stale))
        assert not said.may_move and "Another attempt" in said.reason
    assert (await merging.check(check)).confirmed_at is None
    assert await confirm(merging, other, others_task, new=C) == MAY, "the control"


async def test_not_after_a_cancel_an_end_or_a_loss(merging: Merging) -> None:
    cancel = Cancel(merging.store, merging.fleet.changes, ids=SequentialIds(), clock=merging.clock)
    check, task = await running(merging)
    await cancel(Selection(ids=(task.id,)), "Enough.")
    assert merging.runner and any(isinstance(message, Order) for message in sent(merging.runner))
    assert not (await confirm(merging, check, task)).may_move
    over, ended_task = await running(merging, C)
    await merging.end(over, "")
    assert await confirm(merging, over, ended_task, new=C) == Confirmation(False, "Its task has ended.")


async def test_not_once_whoever_waited_has_left(merging: Merging) -> None:
    check, task = await running(merging)
    shown = await merging.guard.merges.leave(check.id)
    said = await confirm(merging, check, task)
    assert said == Confirmation(False, shown.check.only_report)
    assert shown.check.only_report
    assert (await merging.check(check)).new == B, "what it found is kept all the same"


async def test_not_what_a_person_has_brought_back(merging: Merging) -> None:
    first = await merging.rolled_back(B)
    check, task = await running(merging, C)  # the hook saw another commit than the attempt finds
    assert await confirm(merging, check, task) == MAY, "the control"
    await merging.guard.merges.undone(first.id)
    said = await confirm(merging, check, task)
    assert not said.may_move and "brought this commit back" in said.reason


async def test_the_mode_holds_requests_from_guarded_on_and_everything_once_frozen(merging: Merging) -> None:
    check, task = await running(merging)
    asked = (await merging.start("", Event.REQUEST, topic="feature")).check
    asks = await merging.begin(asked)
    for mode, hooks, requests in (("GUARDED", True, False), ("DRAIN", True, False), ("STOPPED", False, False)):
        merging.safety.now = mode
        assert (await confirm(merging, check, task)).may_move is hooks, mode
        assert (await confirm(merging, asked, asks, new=C)).may_move is requests, mode
    merging.safety.now = "NORMAL"
    assert (await confirm(merging, asked, asks, new=C)).may_move
    merging.safety.away = True
    with pytest.raises(Unavailable):
        await confirm(merging, check, task)
