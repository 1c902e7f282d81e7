"""The audit log: what is recorded, what is refused when it cannot be, and that nothing of it is changed unnoticed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from foundation.auth import Caller, calling_as
from foundation.clock import ManualClock
from foundation.errors import Exhausted, Invalid, Unavailable
from foundation.ids import random_bytes
from foundation.sqlite.connection import Location, connect
from foundation.sqlite.database import Database
from foundation.tokens import mint
from services.safety.adapters import sqlite_audit
from services.safety.adapters.checkpoint_file import FileCheckpoint
from services.safety.adapters.memory import MemoryCheckpoint, MemoryStore
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.app.audit import Audit, Verdict
from services.safety.app.provision import provision
from services.safety.app.draft import Draft
from services.safety.app.state import SafetyState
from services.safety.app.trail import AuditTrail
from services.safety.domain.audit import (
    NO_RECORDS,
    TEXT_MAX,
    Actor,
    AuditEntry,
    FaultKind,
    chain,
    checkpoint_of,
)
from services.safety.domain.mode import StopOrder
from services.safety.ports import Changes
from tests.safety.tampering import DATABASE_KEY, MUTATIONS, OpenStore, undone
from tests.safety.world import AUDIT_KEY, FakeStopSignal, World

ANN = Caller(token_id="t-ann", name="ann", scopes=frozenset({"admin"}))
NOW = datetime(2026, 5, 1, tzinfo=UTC)
RECORDS = 40


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


# Changes through SQL


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder with safety's database, which holds a log, and the checkpoint."""
    with Database.open(tmp_path / "safety.db", key=DATABASE_KEY, migrations=MIGRATIONS) as database:
        store, checkpoint = SqliteStore(database), FileCheckpoint(tmp_path / "audit")
        await provision(store, '{"tokens": []}', now=NOW, audit_key=AUDIT_KEY, checkpoint=checkpoint)
        state = await load(store, tmp_path)
        for _ in range(RECORDS - 1):
            await state.change(loosen)
    yield tmp_path


async def load(store: SqliteStore, folder: Path) -> SafetyState:
    clock, checkpoint = ManualClock(), FileCheckpoint(folder / "audit")
    return await SafetyState.load(store, FakeStopSignal(), clock, audit_key=AUDIT_KEY, checkpoint=checkpoint)


def opened(folder: Path) -> apsw.Connection:
    return connect(Location(path=folder / "safety.db", key=DATABASE_KEY))


async def verdict_on(connection: apsw.Connection, checkpoint: FileCheckpoint | MemoryCheckpoint) -> Verdict:
    """What a safety says that knows nothing but its key, the database and the checkpoint."""
    world = await World.start()
    world.state.trail = AuditTrail(AUDIT_KEY, checkpoint, sqlite_audit.head(connection))
    return await Audit(world.state, OpenStore(connection)).verify()


async def try_mutations(folder: Path, times: int) -> Counter[str]:
    """Make so many changes, each on the whole log; return how many of each kind were found, by the right record."""
    chance, found = random.Random(20261122), Counter[str]()
    checkpoint = MemoryCheckpoint(FileCheckpoint(folder / "audit").read())
    connection = opened(folder)
    try:
        for number in range(times):
            mutate = MUTATIONS[number % len(MUTATIONS)]
            with undone(connection):
                bad = mutate(connection, chance, RECORDS)
                fault = (await verdict_on(connection, checkpoint)).fault
            assert fault is not None, f"{mutate.__name__} of record {bad} was not found"
            assert fault.number == bad, f"{mutate.__name__} of record {bad}: {fault.sentence}"
            found[mutate.__name__] += 1
        assert (await verdict_on(connection, checkpoint)).fault is None  # and without a change there is none
    finally:
        connection.close()
    print(f"found, the first bad record named: {dict(found)}")
    return found


async def test_changes_made_with_the_databases_key_are_found_and_the_first_bad_record_named(log: Path) -> None:
    assert (await try_mutations(log, 70)).total() == 70


@pytest.mark.long
async def test_a_thousand_changes_made_with_the_databases_key_are_found(log: Path) -> None:
    assert (await try_mutations(log, 1_000)).total() == 1_000


async def test_without_the_checkpoint_a_cut_would_not_be_found(log: Path) -> None:
    connection = opened(log)
    with undone(connection):
        connection.execute("delete from audit where number > 20")
        shorter = MemoryCheckpoint(checkpoint_of(sqlite_audit.head(connection), AUDIT_KEY))
        assert (await verdict_on(connection, shorter)).fault is None
        kept = FileCheckpoint(log / "audit")
        assert (await verdict_on(connection, kept)).fault is not None
    connection.close()


async def test_without_a_key_apart_a_restamped_log_would_not_be_found(log: Path) -> None:
    """The control: who has the sealing key too can write whatever it likes, checkpoint and all."""
    connection = opened(log)
    with undone(connection):
        entries = [replace(record.entry, target="mallory") for record in sqlite_audit.after(connection, 0, 1_000)]
        connection.execute("delete from audit")
        sqlite_audit.write(connection, list(chain(NO_RECORDS, entries, AUDIT_KEY)))
        head = sqlite_audit.head(connection)
        assert (await verdict_on(connection, MemoryCheckpoint(checkpoint_of(head, AUDIT_KEY)))).fault is None
    connection.close()


@pytest.mark.parametrize("how", ["gone", "rubbish", "forged"])
async def test_a_checkpoint_that_is_gone_or_not_ours_is_a_fault(log: Path, how: str) -> None:
    path = log / "audit" / "checkpoint.json"
    if how == "gone":
        path.unlink()
    elif how == "rubbish":
        path.write_text("{}")
    else:
        path.write_text(path.read_text().replace(f'"count": {RECORDS}', f'"count": {RECORDS - 1}'))
    connection = opened(log)
    verdict = await verdict_on(connection, FileCheckpoint(log / "audit"))
    connection.close()
    assert verdict.fault is not None
    assert (verdict.fault.number, verdict.fault.kind) == (0, FaultKind.CHECKPOINT)


@pytest.mark.parametrize("sql", ["delete from audit where number >= 30", "delete from audit"])
async def test_what_was_cut_while_safety_was_away_stays_missing_for_ever(log: Path, sql: str) -> None:
    connection = opened(log)
    connection.execute(sql)
    connection.close()
    bad = 1 if sql == "delete from audit" else 30
    for _ in range(2):
        with Database.open(log / "safety.db", key=DATABASE_KEY, migrations=MIGRATIONS) as database:
            store = SqliteStore(database)
            state = await load(store, log)
            await state.change(loosen)
            verdict = await Audit(state, store).verify()
            assert verdict.fault is not None
            assert (verdict.fault.number, verdict.fault.kind) == (bad, FaultKind.MISSING)


async def test_what_is_cut_while_safety_runs_is_found_at_once_and_after_the_next_act(log: Path) -> None:
    with Database.open(log / "safety.db", key=DATABASE_KEY, migrations=MIGRATIONS) as database:
        store = SqliteStore(database)
        state = await load(store, log)
        await database.write(lambda connection: connection.execute("delete from audit where number >= 39"))
        for _ in range(2):
            fault = (await Audit(state, store).verify()).fault
            assert fault is not None
            assert fault.number == 39
            await state.change(loosen)


async def test_a_checkpoint_that_was_forged_while_safety_was_away_is_told_for_ever(log: Path) -> None:
    (log / "audit" / "checkpoint.json").unlink()
    for _ in range(2):
        with Database.open(log / "safety.db", key=DATABASE_KEY, migrations=MIGRATIONS) as database:
            store = SqliteStore(database)
            state = await load(store, log)
            fault = (await Audit(state, store).verify()).fault
            assert fault is not None
            assert fault.kind is FaultKind.BROKEN_BEFORE
            assert "missing" in fault.sentence
