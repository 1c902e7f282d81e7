"""What is durable when, and what happens when a commit fails, is given up, or comes second."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from foundation.errors import Exhausted, NotFound
from services.safety.adapters.memory import MemoryStore
from services.safety.domain.attempt import OutcomeKind
from services.safety.domain.audit import AuditRecord
from services.safety.domain.book import BreakerChange
from services.safety.domain.breaker import Closed, Open
from services.safety.domain.mode import Mode, StopOrder
from services.safety.loops import flush_until
from services.safety.ports import Changes, Snapshot
from tests.safety.world import FAILURE, NEUTRAL, SUCCESS, World, ended, key, wants


class WatchedStore:
    """A store that counts commits, and can be made to wait or to fail."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.commits = 0
        self.failing = False
        self.gate: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.committed = asyncio.Event()

    async def load(self) -> Snapshot:
        """The state."""
        return await self.inner.load()

    async def commit(self, changes: Changes) -> int:
        """Wait, fail or write, as told."""
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise Exhausted("disk_full", "The disk is full.")
        revision = await self.inner.commit(changes)
        self.commits += 1
        self.committed.set()
        return revision

    async def history(self, per_scope: int) -> Mapping[str, tuple[BreakerChange, ...]]:
        """The history."""
        return await self.inner.history(per_scope)

    async def audit_after(self, number: int, limit: int) -> Sequence[AuditRecord]:
        """The audit log."""
        return await self.inner.audit_after(number, limit)

    async def audit_before(self, number: int | None, limit: int, since: datetime | None) -> Sequence[AuditRecord]:
        """The audit log."""
        return await self.inner.audit_before(number, limit, since)


@pytest.fixture
async def store() -> WatchedStore:
    return WatchedStore()


async def test_when_all_is_clear_nothing_is_written(store: WatchedStore) -> None:
    world = await World.start(store)
    before = store.commits
    for number in range(100):
        await world.admission.admit([ended(f"t{number}", SUCCESS)], [wants(f"t{number + 1}")])
    await world.admission.renew([])
    assert store.commits == before
    await world.state.flush()
    assert store.commits == before + 1
    await world.state.flush()
    assert store.commits == before + 1
    await world.crash()
    assert world.breaker().attempts == 20
    await world.tell(ended("t99", FAILURE))  # told already, as a success
    assert world.breaker().consecutive == 0


@pytest.mark.parametrize("kinds", [[FAILURE], [FAILURE, SUCCESS], [FAILURE, FAILURE], [FAILURE, FAILURE, FAILURE]])
async def test_a_streak_is_the_same_after_kill_9(store: WatchedStore, kinds: list[OutcomeKind]) -> None:
    world = await World.start(store)
    for number, kind in enumerate(kinds):
        await world.tell(ended(f"t{number}", kind))
    before = world.breaker()
    await world.crash()
    assert world.breaker() == before


async def test_each_permit_taken_and_given_back_is_durable(store: WatchedStore) -> None:
    world = await World.start(store)
    await world.fail(3)
    world.clock.advance(timedelta(seconds=300))
    for task, kind in [("p1", NEUTRAL), ("p2", SUCCESS), ("p3", NEUTRAL), ("p4", SUCCESS)]:
        assert await world.ask(wants(task)) == [True]
        await world.crash()
        assert world.breaker().holder == key(task)
        await world.tell(ended(task, kind))
        before = world.breaker()
        await world.crash()
        assert world.breaker() == before
    assert isinstance(world.breaker().state, Closed)


async def test_what_is_owed_goes_with_the_next_commit(store: WatchedStore) -> None:
    world = await World.start(store)
    await world.tell(ended("s", SUCCESS, agent="other"))
    await world.fail(1)
    await world.crash()
    assert world.breaker("agent:other").attempts == 1


async def test_a_commit_that_fails_changes_nothing_and_can_be_asked_again(store: WatchedStore) -> None:
    world = await World.start(store)
    await world.fail(2)
    store.failing = True
    with pytest.raises(Exhausted):
        await world.tell(ended("x", FAILURE))
    assert world.breaker().consecutive == 2
    store.failing = False
    await world.tell(ended("x", FAILURE))
    assert isinstance(world.breaker().state, Open)


async def test_a_step_of_the_clock_is_followed_also_when_the_change_that_saw_it_came_to_nothing(
    store: WatchedStore,
) -> None:
    world = await World.start(store)
    await world.fail(3)
    world.clock.advance(timedelta(hours=2))
    assert await world.ask(wants("probe")) == [True]
    for comes_to_nothing in ("refused", "not written"):
        world.clock.set_now(world.clock.now() + timedelta(hours=1))  # nobody has renewed, and nobody had to yet
        if comes_to_nothing == "refused":
            with pytest.raises(NotFound):
                await world.tokens.revoke("nobody")
        else:
            store.failing = True
            with pytest.raises(Exhausted):
                await world.tokens.issue("ci", ["read"], None)
            store.failing = False
        assert await world.ask(wants("second")) == [False], comes_to_nothing


async def test_a_caller_that_gives_up_leaves_memory_and_store_alike(store: WatchedStore) -> None:
    world = await World.start(store)
    await world.fail(2)
    store.gate = asyncio.Event()
    store.reached.clear()
    store.committed.clear()
    telling = asyncio.create_task(world.tell(ended("x", FAILURE)))
    await store.reached.wait()
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    asking = asyncio.create_task(world.ask(wants("y")))
    store.gate.set()
    assert await asking == [False]
    assert isinstance((await store.load()).breakers["agent:build"].state, Open)


async def test_when_another_writer_was_first_the_decision_is_made_anew(store: WatchedStore) -> None:
    first, second = await World.start(store), await World.start(store)
    await first.fail(2)
    await second.tell(ended("x", FAILURE))  # the third in a row, seen by the other service
    assert isinstance(second.breaker().state, Open)
    await first.tell(ended("y", FAILURE))
    assert first.breaker() == second.breaker()


async def test_each_start_and_each_change_raises_the_epoch(store: WatchedStore) -> None:
    world = await World.start(store)
    epochs = [world.state.epoch]
    await world.crash()
    epochs.append(world.state.epoch)
    await world.fail(3)
    epochs.append(world.state.epoch)
    await world.modes.tighten(Mode.STOPPED, reason="", actor="ann")
    epochs.append(world.state.epoch)
    await world.modes.resume(reason="", actor="ann")
    epochs.append(world.state.epoch)
    world.signal.order = StopOrder(actor="ann", reason="", since=None)
    await world.ask(wants("a"))
    epochs.append(world.state.epoch)
    assert epochs == sorted(set(epochs))
    await world.ask(wants("a"))
    assert world.state.epoch == epochs[-1]


async def test_the_loop_writes_what_is_owed_and_once_more_at_the_end(store: WatchedStore) -> None:
    world = await World.start(store)
    stop = asyncio.Event()
    loop = asyncio.create_task(flush_until(stop, world.state, every=timedelta(milliseconds=5)))
    store.committed.clear()
    await world.tell(ended("a", SUCCESS))
    await store.committed.wait()
    await world.tell(ended("b", SUCCESS))
    stop.set()
    await loop
    assert (await store.load()).breakers["agent:build"].attempts == 2
