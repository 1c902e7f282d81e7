"""Whatever is changed in the audit log through SQL with the databases' key is found, and the first bad record named."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from foundation.clock import ManualClock
from foundation.sqlite.connection import Location, connect
from foundation.sqlite.database import Database
from services.safety.adapters import sqlite_audit
from services.safety.adapters.checkpoint_file import FileCheckpoint
from services.safety.adapters.memory import MemoryCheckpoint
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.app.audit import Audit, Verdict
from services.safety.app.draft import Draft
from services.safety.app.provision import provision
from services.safety.app.state import SafetyState
from services.safety.app.trail import AuditTrail
from services.safety.domain.audit import NO_RECORDS, FaultKind, chain, checkpoint_of
from tests.safety.tampering import DATABASE_KEY, MUTATIONS, OpenStore, undone
from tests.safety.world import AUDIT_KEY, FakeStopSignal, World

NOW = datetime(2026, 5, 1, tzinfo=UTC)
RECORDS = 40


def act(draft: Draft) -> None:
    draft.audit(act="breaker_force_closed", target="agent:a", before="open", after="forced_closed", reason="I know")


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder with safety's database, which holds a log, and the checkpoint."""
    with Database.open(tmp_path / "safety.db", key=DATABASE_KEY, migrations=MIGRATIONS) as database:
        store, checkpoint = SqliteStore(database), FileCheckpoint(tmp_path / "audit")
        await provision(store, '{"tokens": []}', now=NOW, audit_key=AUDIT_KEY, checkpoint=checkpoint)
        state = await load(store, tmp_path)
        for _ in range(RECORDS - 1):
            await state.change(act)
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


async def test_what_was_cut_while_safety_was_away_is_not_covered_up_by_another_first_start(log: Path) -> None:
    with Database.open(log / "safety.db", key=DATABASE_KEY, migrations=MIGRATIONS) as database:
        store, checkpoint = SqliteStore(database), FileCheckpoint(log / "audit")
        await database.write(lambda connection: connection.execute("delete from audit where number >= 30"))
        token = {"id": "t", "digest": "d" * 64, "name": "n", "scopes": ["read"], "expires_at": None}
        document = json.dumps({"tokens": [token]})
        await provision(store, document, now=NOW, audit_key=AUDIT_KEY, checkpoint=checkpoint)
        broken, issued = await store.audit_after(29, 10)
        assert (broken.entry.act, broken.entry.target, issued.entry.act) == ("audit_broken", "30", "token_issue")
        fault = (await Audit(await load(store, log), store).verify()).fault
        assert fault is not None
        assert (fault.number, fault.kind) == (30, FaultKind.MISSING)


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
            await state.change(act)
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
            await state.change(act)


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
