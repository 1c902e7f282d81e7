"""The audit log: what is recorded, what is refused when it cannot be, and that nothing of it is changed unnoticed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from foundation.auth import Caller, calling_as
from foundation.errors import Exhausted, Invalid, Unavailable
from foundation.ids import random_bytes
from foundation.tokens import mint
from services.safety.adapters.memory import MemoryCheckpoint, MemoryStore
from services.safety.app.audit import Audit
from services.safety.app.draft import Draft
from services.safety.domain.audit import (
    NO_RECORDS,
    TEXT_MAX,
    Actor,
    AuditEntry,
    Checkpoint,
    FaultKind,
    chain,
    checkpoint_of,
)
from services.safety.domain.mode import StopOrder
from services.safety.ports import Changes
from tests.safety.tampering import DATABASE_KEY
from tests.safety.world import AUDIT_KEY, World

ANN = Caller(token_id="t-ann", name="ann", scopes=frozenset({"admin"}))
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class BrokenStore(MemoryStore):
    """Refuses commits with audit records, or all, as told."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses_audit = False
        self.refuses_all = False

    async def commit(self, changes: Changes) -> int:
        """Write, or not."""
        if self.refuses_all or (self.refuses_audit and changes.audit):
            raise Exhausted("disk_full", "The disk is full; nothing was stored.")
        return await super().commit(changes)


def loosen(draft: Draft) -> None:
    draft.book.epoch += 1
    draft.audit(act="breaker_force_closed", target="agent:a", before="open", after="forced_closed", reason="I know")


def tighten(draft: Draft) -> None:
    draft.book.epoch += 1
    draft.audit(act="mode_tighten", target="mode", before="NORMAL", after="STOPPED", tightens=True)


def audit_of(world: World) -> Audit:
    return Audit(world.state, world.store)


async def acts(world: World) -> list[str]:
    return [record.entry.act for record in await world.store.audit_after(0, 1_000)]


# What is recorded


async def test_an_act_is_recorded_with_who_from_where_and_what() -> None:
    world = await World.start()
    with calling_as(ANN, source="POST /breakers by the local socket"):
        await world.state.change(loosen)
    (record,) = await world.store.audit_after(0, 10)
    assert record.entry == AuditEntry(
        at=world.clock.now(),
        actor=Actor(name="ann", token_id="t-ann", source="POST /breakers by the local socket"),
        act="breaker_force_closed",
        target="agent:a",
        before="open",
        after="forced_closed",
        reason="I know",
    )
    verdict = await audit_of(world).verify()
    assert (verdict.fault, verdict.records, verdict.unconfirmed) == (None, 1, 0)


async def test_texts_are_bounded_and_hold_no_token() -> None:
    world = await World.start()
    token = mint(random_bytes).text

    def work(draft: Draft) -> None:
        draft.audit(act="note", target=token, reason="x" * 10_000)

    await world.state.change(work)
    (record,) = await world.store.audit_after(0, 10)
    assert token not in record.entry.target
    assert len(record.entry.reason) == TEXT_MAX


async def test_a_stop_file_is_recorded_when_it_is_seen_and_when_it_is_gone() -> None:
    world = await World.start()
    world.signal.order = StopOrder(actor="bob", reason="fire", since=NOW)
    await world.tell()
    world.signal.order = None
    await world.tell()
    seen, gone = await world.store.audit_after(0, 10)
    assert (seen.entry.act, seen.entry.actor.name, seen.entry.reason) == ("stop_file_seen", "bob", "fire")
    assert gone.entry.act == "stop_file_gone"


async def test_what_another_service_tells_twice_is_recorded_once_also_over_a_restart() -> None:
    world = await World.start()
    entry = AuditEntry(at=NOW, actor=Actor(name="ann"), act="task_cancel", target="t1", told="c1")
    assert await audit_of(world).record([entry, entry]) == 1
    assert await audit_of(world).record([entry]) == 0
    await world.crash()
    assert await audit_of(world).record([entry, replace(entry, told="c2")]) == 1
    assert await acts(world) == ["task_cancel", "task_cancel"]
    with pytest.raises(Invalid):
        await audit_of(world).record([replace(entry, told="")])


async def test_pages_are_newest_first_and_join_without_gap() -> None:
    world = await World.start()
    for _ in range(7):
        world.clock.advance(timedelta(hours=1))
        await world.state.change(loosen)
    first = await audit_of(world).page(since=None, limit=3, before=None)
    second = await audit_of(world).page(since=None, limit=3, before=first.next)
    last = await audit_of(world).page(since=None, limit=3, before=second.next)
    numbers = [record.number for page in (first, second, last) for record in page.records]
    assert (numbers, last.next) == ([7, 6, 5, 4, 3, 2, 1], None)
    lately = await audit_of(world).page(since=world.clock.now() - timedelta(hours=2), limit=0, before=None)
    assert [record.number for record in lately.records] == [7, 6, 5]


async def test_two_that_write_to_one_store_write_one_chain() -> None:
    world = await World.start()
    other = await World.start(world.store)
    other.checkpoint = world.checkpoint
    await other.crash()
    for _ in range(3):
        await world.state.change(loosen)
        await other.state.change(loosen)
    assert len(await acts(world)) == 6
    for one in (world, other):
        assert (await audit_of(one).verify()).fault is None


# When it cannot be written


async def test_without_a_checkpoint_privileged_changes_are_refused_and_tightening_is_not() -> None:
    world = await World.start()
    world.checkpoint.failing = True
    epoch = world.state.epoch
    with pytest.raises(Unavailable, match="nothing privileged is changed"):
        await world.state.change(loosen)
    assert (world.state.epoch, await acts(world)) == (epoch, [])
    await world.state.change(tighten)
    assert (world.state.epoch, await acts(world)) == (epoch + 1, ["mode_tighten"])
    with pytest.raises(Unavailable):
        await world.state.change(loosen)
    world.checkpoint.failing = False
    await world.state.flush()
    verdict = await audit_of(world).verify()
    assert (verdict.fault, verdict.unconfirmed) == (None, 0)
    await world.state.change(loosen)
    assert await acts(world) == ["mode_tighten", "breaker_force_closed"]


async def test_when_the_log_takes_nothing_tightening_is_durable_and_recorded_later() -> None:
    store = BrokenStore()
    world = await World.start(store)
    store.refuses_audit = True
    epoch = world.state.epoch
    with pytest.raises(Exhausted):
        await world.state.change(loosen)
    await world.state.change(tighten)
    assert ((await store.load()).epoch, await acts(world)) == (epoch + 1, [])
    await world.state.flush()
    store.refuses_audit = False
    await world.state.flush()
    assert await acts(world) == ["mode_tighten"]


async def test_when_nothing_can_be_written_tightening_holds_in_memory_and_is_written_later() -> None:
    store = BrokenStore()
    world = await World.start(store)
    store.refuses_all = True
    epoch = world.state.epoch
    await world.state.change(tighten)
    assert (world.state.epoch, (await store.load()).epoch) == (epoch + 1, epoch)
    with pytest.raises(Exhausted):
        await world.state.change(loosen)
    store.refuses_all = False
    await world.state.flush()
    assert ((await store.load()).epoch, await acts(world)) == (epoch + 1, ["mode_tighten"])


# Crashes


@pytest.mark.parametrize("published", [False, True])
async def test_a_crash_between_commit_and_checkpoint_is_no_fault(published: bool) -> None:
    world = await World.start()
    await world.state.change(loosen)
    before = world.checkpoint.standing
    await world.state.change(loosen)
    if not published:
        world.checkpoint.standing = before
    assert (await audit_of(world).verify()).unconfirmed == (0 if published else 1)
    await world.crash()
    verdict = await audit_of(world).verify()
    assert (verdict.fault, verdict.records, verdict.unconfirmed) == (None, 2, 0)


class Crash(Exception):
    """The process ends here."""


class CrashingStore(MemoryStore):
    """Ends the process before or after a commit that holds audit records, as told."""

    def __init__(self) -> None:
        super().__init__()
        self.crash = ""

    async def commit(self, changes: Changes) -> int:
        """Write, and crash when told to."""
        if changes.audit and self.crash == "before commit":
            raise Crash
        revision = await super().commit(changes)
        if changes.audit and self.crash == "after commit":
            raise Crash
        return revision


class CrashingCheckpoint(MemoryCheckpoint):
    """Ends the process before or after its file is staged or published, as told."""

    def __init__(self) -> None:
        super().__init__(checkpoint_of(NO_RECORDS, AUDIT_KEY))
        self.crash = ""

    def stage(self, checkpoint: Checkpoint) -> None:
        """Stage, and crash when told to."""
        self._at("before stage")
        super().stage(checkpoint)
        self._at("after stage")

    def publish(self) -> None:
        """Publish, and crash when told to."""
        self._at("before publish")
        super().publish()
        self._at("after publish")

    def _at(self, point: str) -> None:
        if self.crash == point:
            raise Crash


POINTS = [f"{when} {what}" for what in ("stage", "commit", "publish") for when in ("before", "after")]


async def test_a_crash_at_any_point_of_any_act_leaves_no_fault_and_loses_nothing_that_was_answered() -> None:
    chance, crashed = random.Random(7), Counter[str]()
    store, checkpoint = CrashingStore(), CrashingCheckpoint()
    world = await World.start(store)
    world.checkpoint = checkpoint
    await world.crash()
    answered = 0
    for number in range(300):
        point = store.crash = checkpoint.crash = chance.choice([*POINTS, ""])
        note = f"act {number}"
        try:
            await world.state.change(lambda draft, note=note: draft.audit(act="note", target=note))  # type: ignore[misc]
            answered += 1
        except Crash:
            crashed[point] += 1
        store.crash = checkpoint.crash = ""
        if point:
            await world.crash()
        verdict = await audit_of(world).verify()
        assert verdict.fault is None, f"{point}: {verdict.fault.sentence}"
        assert verdict.unconfirmed == 0
        assert verdict.records >= answered
    assert set(crashed) == set(POINTS)
    print(f"crashes: {dict(crashed)}; {answered} of 300 acts were answered")


async def test_a_forged_record_behind_the_checkpoint_is_not_taken_for_a_crash() -> None:
    world = await World.start()
    await world.state.change(loosen)
    entry = AuditEntry(at=NOW, actor=Actor(name="ann"), act="token_issue", target="mallory")
    snapshot = await world.store.load()
    forged = tuple(chain(snapshot.audit_head, [entry], DATABASE_KEY))
    await world.store.commit(
        Changes(revision=snapshot.revision, epoch=snapshot.epoch, revocation=snapshot.revocation, audit=forged)
    )
    await world.crash()
    verdict = await audit_of(world).verify()
    assert verdict.fault is not None
    assert (verdict.fault.number, verdict.fault.kind) == (2, FaultKind.FORGED)
