"""Safety is asked about a lone task while it is being committed; nothing leaves before it is there."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from foundation.errors import Exhausted
from services.coordinator.app.attachments import Attachment, Grant
from services.coordinator.domain import task as moves
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Report, StoreTransaction
from services.coordinator.ports_safety import Verdict
from tests.coordinator.fleet import Fleet, sent

pytestmark = pytest.mark.asyncio


def granted(runner: Attachment) -> list[str]:
    return [message.task.id for message in sent(runner) if isinstance(message, Grant)]


async def asked(fleet: Fleet, tasks: Sequence[Task], *, add: bool) -> None:
    """Foretell tasks, let dispatch ask, then add them or not, and let it come to rest."""
    with fleet.changes.foretold(tasks) as foretold:
        rounds = asyncio.create_task(fleet.round())
        while not fleet.gate.asked:
            await asyncio.sleep(0)
        if add:
            await fleet.store.write(lambda tx: tx.insert(foretold.tasks))
            foretold.announce(foretold.tasks)
    await rounds


async def test_safety_is_asked_once_and_before_the_commit(fleet: Fleet) -> None:
    runner = await fleet.runner()
    task = fleet.make("a")
    with fleet.changes.foretold([task]) as foretold:
        rounds = asyncio.create_task(fleet.round())
        while not fleet.gate.asked:
            await asyncio.sleep(0)
        assert granted(runner) == [] and not rounds.done()
        await fleet.store.write(lambda tx: tx.insert(foretold.tasks))
        foretold.announce(foretold.tasks)
    await rounds
    assert granted(runner) == [task.id]
    assert (await fleet.task(task)).holder == "one"
    assert [candidate.fence for candidate in fleet.gate.asked] == [task.fence + 1]
    await fleet.round()
    assert granted(runner) == []


async def test_what_was_not_added_gives_its_admission_back_and_is_forgotten(fleet: Fleet) -> None:
    runner = await fleet.runner()
    task = fleet.make("a")
    await asked(fleet, [task], add=False)
    assert granted(runner) == []
    assert [(told.task_id, told.fence, told.counted) for told in fleet.gate.told] == [(task.id, task.fence + 1, False)]
    assert await fleet.store.read(lambda tx: tx.outbox(limit=9)) == []
    later = await fleet.submit("a")
    await fleet.round()
    assert granted(runner) == [later.id]


async def test_only_those_that_were_added_are_leased(fleet: Fleet) -> None:
    runner = await fleet.runner()
    there, absent = fleet.make("a"), fleet.make("b")
    with fleet.changes.foretold([absent, there]) as foretold:
        rounds = asyncio.create_task(fleet.round())
        while not fleet.gate.asked:
            await asyncio.sleep(0)
        await fleet.store.write(lambda tx: tx.insert(foretold.tasks[1:]))
        foretold.announce(foretold.tasks[1:])
    await rounds
    assert granted(runner) == [there.id]
    assert [told.task_id for told in fleet.gate.told] == [absent.id]


@pytest.mark.parametrize("add", [True, False])
async def test_a_foretold_task_that_safety_refuses_waits_as_any_other(fleet: Fleet, add: bool) -> None:
    runner = await fleet.runner()
    until = fleet.now() + timedelta(seconds=30)
    fleet.gate.verdicts["a"] = Verdict(admitted=False, scope="agent:a", code="breaker", reason="x", ask_again_at=until)
    task = fleet.make("a")
    await asked(fleet, [task], add=add)
    assert granted(runner) == []
    if add:
        assert (await fleet.task(task)).ready
    assert fleet.holdings.all() == ()
    fleet.gate.verdicts.clear()
    fleet.clock.advance(timedelta(seconds=31))
    await fleet.renewal.tick()
    await fleet.round()
    assert granted(runner) == ([task.id] if add else [])


async def test_without_safety_a_foretold_task_keeps_its_place(fleet: Fleet) -> None:
    runner = await fleet.runner()
    fleet.gate.away = True
    task = fleet.make("a")
    with fleet.changes.foretold([task]) as foretold:
        rounds = asyncio.create_task(fleet.round())
        await fleet.store.write(lambda tx: tx.insert(foretold.tasks))
        foretold.announce(foretold.tasks)
    await rounds
    assert (await fleet.task(task)).ready
    fleet.gate.away = False
    await fleet.renewal.tick()
    await fleet.round()
    assert granted(runner) == [task.id]


async def test_a_task_that_is_cancelled_meanwhile_is_not_leased(fleet: Fleet) -> None:
    runner = await fleet.runner()
    task = fleet.make("a")
    with fleet.changes.foretold([task]) as foretold:
        rounds = asyncio.create_task(fleet.round())
        while not fleet.gate.asked:
            await asyncio.sleep(0)
        await fleet.store.write(lambda tx: tx.insert(foretold.tasks))
        foretold.announce(foretold.tasks)
        leased = foretold.tasks[0]
        gone = moves.request_cancel(leased, reason="No.", now=fleet.now())
        await fleet.store.write(lambda tx: tx.save([(leased, gone)]))
        fleet.changes.announce([gone])
    await rounds
    assert sent(runner) == []
    await fleet.intake._take(fleet.intake._waiting)
    await fleet.round()
    assert [(told.task_id, told.fence, told.counted) for told in fleet.gate.told] == [(task.id, task.fence + 1, False)]
    assert (await fleet.task(task)).state is TaskState.CANCELLED


@pytest.mark.parametrize("why", ["many", "others wait", "blocked", "scheduled", "paused", "no room"])
async def test_nobody_asks_ahead_for_what_would_not_start_next(fleet: Fleet, why: str) -> None:
    await fleet.runner(capacity=0 if why == "no room" else 10)
    tasks = [fleet.make("a") for _ in range(5 if why == "many" else 1)]
    if why == "others wait":
        await fleet.submit("b")
    if why == "blocked":
        tasks = [fleet.make("a", depends_on=("t0",))]
    if why == "scheduled":
        tasks = [tasks[0]._replace(not_before=fleet.now() + timedelta(hours=1))]
    if why == "paused":
        fleet.dispatch.set_queue_paused("x")
    with fleet.changes.foretold(tasks):
        await fleet.round()
    assert [candidate.agent for candidate in fleet.gate.asked] == (["b"] if why == "others wait" else [])


async def test_ahead_of_the_commit_an_agent_gets_no_more_than_its_manifest_allows(fleet: Fleet) -> None:
    fleet.catalogue.specs["a"] = fleet.catalogue.specs["a"].__class__(name="a", script="/a.sh", concurrency_max=1)
    runner = await fleet.runner()
    tasks = [fleet.make("a"), fleet.make("a"), fleet.make("b")]
    await asked(fleet, tasks, add=True)
    assert granted(runner) == [tasks[0].id, tasks[2].id]


async def test_the_lease_is_in_the_commit_of_the_task_and_takes_its_room(fleet: Fleet) -> None:
    runner = await fleet.runner(capacity=1)
    task = fleet.make("a")
    with fleet.changes.foretold([task]) as foretold:
        assert [(lease.holder, lease.fence) for lease in foretold.tasks] == [("one", task.fence + 1)]
        with fleet.changes.foretold([fleet.make("b")]) as second:
            assert second.tasks[0].ready
        rounds = asyncio.create_task(fleet.round())
        await fleet.store.write(lambda tx: tx.insert(foretold.tasks))
        foretold.announce(foretold.tasks)
    await rounds
    assert granted(runner) == [task.id]
    await fleet.submit("b")
    await fleet.round()
    assert granted(runner) == []


async def test_no_task_is_leased_ahead_while_the_room_is_being_given_away(fleet: Fleet) -> None:
    await fleet.runner(capacity=1)
    await fleet.submit("a")
    rounds = asyncio.create_task(fleet.round())
    while not fleet.gate.asked:
        await asyncio.sleep(0)
    with fleet.changes.foretold([fleet.make("b")]) as foretold:
        assert foretold.tasks[0].ready
    await rounds


async def test_a_lease_ahead_carries_the_last_report(fleet: Fleet) -> None:
    runner = await fleet.runner()
    report = Report(type="t", project="", summary="s", data="{}", task_id="t0", agent="a", published_at=fleet.now())
    await fleet.store.write(lambda tx: tx.publish(report))
    with fleet.changes.foretold([fleet.make("a")]) as foretold:
        rounds = asyncio.create_task(fleet.round())

        def add(tx: StoreTransaction) -> None:
            tx.insert(foretold.tasks)
            foretold.read_along(tx)

        await fleet.store.write(add)
        foretold.announce(foretold.tasks)
    await rounds
    [lease] = sent(runner)
    assert isinstance(lease, Grant) and '"summary": "s"' in lease.last_report


async def test_a_lease_ahead_that_cannot_be_ended_runs_down(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    await fleet.runner()
    fleet.gate.away = True
    task = fleet.make("a")
    with fleet.changes.foretold([task]) as foretold:
        rounds = asyncio.create_task(fleet.round())
        await fleet.store.write(lambda tx: tx.insert(foretold.tasks))
        foretold.announce(foretold.tasks)

    async def fail(work: object) -> None:
        raise Exhausted("disk_full", "The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(fleet.store, "write", fail)
        with pytest.raises(Exhausted):
            await rounds
    assert [held.task_id for held in fleet.holdings.all()] == [task.id]
    fleet.gate.away = False
    for _ in range(12):  # a longer pause would be a sleep of the machine, after which every lease gets a new term
        fleet.clock.advance(timedelta(seconds=5))
        await fleet.renewal.tick()
    assert (await fleet.task(task)).holder == ""
