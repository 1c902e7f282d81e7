"""Which acts safety's audit log hears of, and that it hears of each until it has answered."""

from collections.abc import Sequence

import pytest

from foundation.auth import Caller, calling_as
from foundation.errors import Unavailable
from services.coordinator.app.acts import TellActs, tasks_named
from services.coordinator.app.selection import Selection
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import Decision
from services.coordinator.ports import Store, TaskFilter
from services.coordinator.ports_safety import Act
from tests.coordinator.desk import OTHER, USER, Desk
from tests.coordinator.tasks import NOW

ACT = Act(NOW, "ann", "t1", "quantum cancel", "task_cancel", "task 1", "queued", "cancelled", "why")


class PlayedAuditLog:
    """Hears acts, or is away."""

    def __init__(self) -> None:
        self.heard: list[Act] = []
        self.away = False

    async def record(self, acts: Sequence[Act]) -> None:
        """Hear them."""
        if self.away:
            raise Unavailable("safety_away", "Safety does not answer.")
        self.heard += acts


async def acts(store: Store) -> list[Act]:
    return list(await store.read(lambda tx: tx.acts(limit=100)))


async def done(desk: Desk) -> list[str]:
    return [act.act for act in await acts(desk.store)]


async def test_acts_come_back_as_they_went_in_and_their_numbers_are_never_given_again(store: Store) -> None:
    for _ in range(3):
        await store.write(lambda tx: tx.note_act(ACT))
    first, second, third = await acts(store)
    assert first._replace(number=0) == ACT
    assert first.number < second.number < third.number
    await store.write(lambda tx: tx.forget_acts(third.number))
    assert await acts(store) == []
    await store.write(lambda tx: tx.note_act(ACT))
    (later,) = await acts(store)
    assert later.number > third.number


@pytest.mark.parametrize(("caller", "heard"), [(USER, []), (OTHER, ["task_cancel"])])
async def test_a_cancel_by_somebody_else_is_told_one_by_the_submitter_is_not(
    desk: Desk, caller: Caller, heard: list[str]
) -> None:
    one, other = await desk.add(TaskRequest(agent="build"), TaskRequest(agent="build"))
    with calling_as(caller, source="quantum cancel by the local socket"):
        await desk.cancel(Selection(ids=(one.id, other.id)), "in my way")
    assert await done(desk) == heard
    for act in await acts(desk.store):
        assert (act.actor, act.actor_id, act.source) == ("other", "t2", "quantum cancel by the local socket")
        assert act.reason == "in my way"
        assert one.id in act.target and other.id in act.target


async def test_a_cancel_that_is_undone_with_its_transaction_is_not_told(desk: Desk) -> None:
    def fails(tx: object) -> None:
        tx.note_act(ACT)  # type: ignore[attr-defined]
        raise Unavailable("x", "It failed.")

    with pytest.raises(Unavailable):
        await desk.store.write(fails)
    assert await acts(desk.store) == []


async def test_what_is_done_to_the_queue_and_decided_is_told(desk: Desk) -> None:
    (task,) = await desk.add()
    with calling_as(OTHER, source="here"):
        await desk.undecided(task)
        await desk.decide(task.id, Decision.FAILED, "no trace", OTHER)
        await desk.queue.pause("night", OTHER)
        await desk.queue.pause("again", OTHER)
        await desk.queue.resume()
        await desk.add(TaskRequest(agent="build"))
        cleared = await desk.clear("", "tidy", OTHER, dry_run=False)
        await desk.undo(cleared.clearing_id, OTHER)
    expected = ["task_decide", "queue_pause", "queue_resume", "queue_clear", "queue_clear_undo"]
    assert await done(desk) == expected
    decided = (await acts(desk.store))[0]
    assert (decided.before, decided.after) == ("needs_decision", "failed")
    with calling_as(OTHER, source="here"):
        await desk.clear("", "tidy", OTHER, dry_run=True)
    assert await done(desk) == expected


async def test_what_is_not_answered_for_is_told_again(store: Store) -> None:
    log = PlayedAuditLog()
    tell = TellActs(store, log)
    await store.write(lambda tx: tx.note_act(ACT))
    log.away = True
    await tell.step()
    await tell.step()
    assert (log.heard, len(await acts(store))) == ([], 1)
    log.away = False
    await tell.step()
    await tell.step()
    assert ([act.target for act in log.heard], await acts(store)) == (["task 1"], [])


def test_many_tasks_are_named_in_short() -> None:
    assert tasks_named(["a"]) == "task a"
    assert tasks_named(["a", "b"]) == "2 tasks: a b"
    assert tasks_named([str(number) for number in range(1_000)]).endswith(" 19 …")


async def test_a_cancel_by_filter_is_told_too(desk: Desk) -> None:
    await desk.add(TaskRequest(agent="build"), TaskRequest(agent="build"))
    with calling_as(OTHER):
        await desk.cancel(Selection(wanted=TaskFilter(agent="build")), "")
    (act,) = await acts(desk.store)
    assert act.target.startswith("2 tasks: ")
