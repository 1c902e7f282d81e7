"""A drained runner gets nothing new, keeps what runs, and stays drained until a person lets it go on."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from foundation.errors import Invalid
from services.coordinator.adapters.memory import MemoryStore
from services.coordinator.app.attachments import Attachment, Order, OrderKind
from services.coordinator.app.drains import Drains
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.attempt import Returned
from services.coordinator.domain.placement import refusal
from services.coordinator.ports import StoreTransaction
from tests.coordinator.desk import USER
from tests.coordinator.fleet import Fleet, ended, granted, sent, started

T = TypeVar("T")


def drains_of(fleet: Fleet) -> Drains:
    return Drains(
        fleet.store,
        fleet.attachments,
        fleet.holdings,
        recall=fleet.dispatch.recall_from,
        wake=fleet.dispatch.wake,
        clock=fleet.clock,
    )


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


async def test_what_runs_runs_on_what_was_not_started_comes_back_and_new_work_goes_elsewhere(fleet: Fleet) -> None:
    drains = drains_of(fleet)
    one = await fleet.runner("one")
    running, at_hand = await fleet.submit("a"), await fleet.submit("a")
    await fleet.round()
    leased = {task.id: task for task in granted(sent(one))}
    await fleet.tell(one, started(leased[running.id], fleet.now()))
    assert await drains.drain("one", "a new disk", USER) == (True, 1)
    orders = [message for message in sent(one) if isinstance(message, Order)]
    assert [(order.task_id, order.kind) for order in orders] == [(at_hand.id, OrderKind.RECALL)]
    await fleet.tell(one, Returned(at_hand.id, leased[at_hand.id].fence, "recalled"))
    two = await fleet.runner("two")
    new = await fleet.submit("b")
    await fleet.round()
    assert {task.id for task in granted(sent(two))} == {at_hand.id, new.id}
    assert granted(sent(one)) == []
    await fleet.tell(one, ended(leased[running.id], fleet.now()))
    assert (await fleet.task(running)).state == "succeeded"
    [view, _] = fleet.dispatch.fleet().runners
    assert (view.name, view.draining) == ("one", True)
    assert view.drained.endswith("UTC. a new disk")


async def test_it_stays_drained_when_it_comes_again_and_when_the_coordinator_does(fleet: Fleet, tmp_path: Path) -> None:
    await drains_of(fleet).drain("one", "", USER)
    again = Fleet(tmp_path, fleet.store)
    drains = drains_of(again)
    await drains.load()
    [away] = again.dispatch.fleet().runners
    assert (away.name, away.host, away.draining) == ("one", "", True)
    one = await again.runner("one", incarnation="2")
    task = await again.submit("a")
    await again.round()
    assert granted(sent(one)) == []
    found = refusal(again.dispatch.need_of(task), again.dispatch.fleet().rooms)
    assert found is not None
    assert found.sentence == "It is ready, but every attached runner is draining."
    assert await drains.resume("one")
    await again.round()
    assert [each.id for each in granted(sent(one))] == [task.id]
    assert not await drains.resume("one")


def told(runner: Attachment) -> list[tuple[str, OrderKind]]:
    return [(message.task_id, message.kind) for message in sent(runner) if isinstance(message, Order)]


async def test_an_order_that_was_lost_with_its_stream_is_the_first_that_the_runner_hears_on_the_next(
    fleet: Fleet,
) -> None:
    one = await fleet.runner("one", capacity=4)
    running, at_hand = await fleet.submit("a"), await fleet.submit("a")
    await fleet.round()
    leased = {task.id: task for task in granted(sent(one))}
    await fleet.tell(one, started(leased[running.id], fleet.now()))
    await drains_of(fleet).drain("one", "", USER)
    lost = told(one)
    held = frozenset((task.id, task.fence) for task in leased.values())
    one = await fleet.runner("one", capacity=4, held=held)
    assert told(one) == lost == [(at_hand.id, OrderKind.RECALL)], "and nothing for what runs"
    await fleet.tell(one, Returned(at_hand.id, leased[at_hand.id].fence, "recalled"))
    again = await fleet.runner("one", capacity=4, held=frozenset({(running.id, leased[running.id].fence)}))
    assert told(again) == []


async def test_a_drain_while_the_runner_is_away_is_the_first_that_it_hears(fleet: Fleet) -> None:
    one = await fleet.runner("one")
    task = await fleet.submit("a")
    await fleet.round()
    [lease] = granted(sent(one))
    fleet.renewal.detach(one)
    await drains_of(fleet).drain("one", "", USER)
    one = await fleet.runner("one", held=frozenset({(lease.id, lease.fence)}))
    assert told(one) == [(task.id, OrderKind.RECALL)]


async def test_any_other_recall_that_was_lost_is_told_again_too_but_not_about_what_has_started(fleet: Fleet) -> None:
    one = await fleet.runner("one", capacity=4)
    starts, waits = await fleet.submit("a"), await fleet.submit("a")
    await fleet.round()
    leased = {task.id: task for task in granted(sent(one))}
    fleet.dispatch.set_queue_paused("Lunch.")
    assert {id for id, _ in told(one)} == {starts.id, waits.id}
    await fleet.tell(one, started(leased[starts.id], fleet.now()))
    one = await fleet.runner("one", held=frozenset((task.id, task.fence) for task in leased.values()))
    assert told(one) == [(waits.id, OrderKind.RECALL)]


class HookedStore(MemoryStore):
    """Lets something happen right behind a commit, before anybody goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.behind: Callable[[], Awaitable[object]] | None = None

    async def write(self, work: Callable[[StoreTransaction], T]) -> T:
        done = await super().write(work)
        behind, self.behind = self.behind, None
        if behind is not None:
            await behind()
        return done


async def test_a_lease_that_is_committed_while_its_runner_is_drained_does_not_leave(tmp_path: Path) -> None:
    store = HookedStore()
    fleet = Fleet(tmp_path, store)
    one = await fleet.runner("one")
    task = await fleet.submit("a")
    store.behind = lambda: drains_of(fleet).drain("one", "", USER)
    await fleet.round()
    assert granted(sent(one)) == []
    await fleet.intake._take(fleet.intake._waiting)
    two = await fleet.runner("two")
    await fleet.round()
    assert [each.id for each in granted(sent(two))] == [task.id]


async def test_its_services_end_to_start_on_another_one_but_not_where_that_takes_a_decision(fleet: Fleet) -> None:
    for name, effects in (("a", "idempotent"), ("b", "once")):
        fleet.catalogue.specs[name] = AgentSpec(name=name, script=f"/agents/{name}.sh", kind="service", effects=effects)
    one = await fleet.runner("one", services_max=2)
    moves, stays = await fleet.submit("a"), await fleet.submit("b")
    await fleet.round()
    for task in granted(sent(one)):
        await fleet.tell(one, started(task, fleet.now()))
    assert await drains_of(fleet).drain("one", "", USER) == (True, 2)
    fleet.dispatch.release_due()
    orders = [message for message in sent(one) if isinstance(message, Order)]
    assert [(order.task_id, order.kind) for order in orders] == [(moves.id, OrderKind.STOP)], "once, and not the other"
    assert (await fleet.task(stays)).state == "running"


async def test_both_are_told_to_the_audit_log_once(fleet: Fleet) -> None:
    drains = drains_of(fleet)
    assert await drains.drain("one", "why not", USER) == (True, 0)
    assert await drains.drain("one", "again", USER) == (False, 0)
    assert await drains.resume("one")
    acts = await fleet.store.read(lambda tx: tx.acts(limit=9))
    assert [(act.act, act.target) for act in acts] == [("runner_drain", "runner:one"), ("runner_resume", "runner:one")]


async def test_what_cannot_be_a_runner_is_not_drained(fleet: Fleet) -> None:
    with pytest.raises(Invalid):
        await drains_of(fleet).drain("../etc", "", USER)
