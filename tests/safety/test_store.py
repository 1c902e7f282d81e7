"""One conformance suite for every store of safety."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from foundation.errors import Stale
from foundation.sqlite.database import Database
from services.safety.adapters.memory import MemoryStore
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.audit import NO_RECORDS, Actor, AuditEntry, AuditRecord, Head, chain
from services.safety.domain.book import BreakerChange
from services.safety.domain.breaker import (
    Breaker,
    Closed,
    ForcedClosed,
    ForcedOpen,
    HalfOpen,
    Open,
    Permit,
    State,
    StateName,
)
from services.safety.domain.deadline import Deadline
from services.safety.domain.mode import Mode, ModeRecord
from services.safety.domain.token import TokenRecord
from services.safety.ports import Changes, SafetyStore, Snapshot

KEY = b"\x05" * 32
NOW = datetime(2026, 5, 1, 12, 3, 10, 123456, tzinfo=UTC)
DEADLINE = Deadline(at=NOW, full=timedelta(seconds=301, microseconds=7))
PERMIT = Permit(holder=AttemptKey("t1", 1_763_000_000 << 20), deadline=DEADLINE)
STATES: list[State] = [
    Closed(),
    Open(deadline=DEADLINE, trips=3),
    HalfOpen(trips=1, successes=1),
    HalfOpen(trips=0, permit=PERMIT),
    ForcedOpen(actor="ann"),
    ForcedClosed(actor="", deadline=DEADLINE),
]
TOKEN = TokenRecord(id="abc", name="user", digest="d" * 64, scopes=frozenset({"read", "admin"}), created_at=NOW)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SafetyStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with Database.open(tmp_path / "safety.db", key=KEY, migrations=MIGRATIONS) as database:
        yield SqliteStore(database)


def changes(on: Snapshot, **more: object) -> Changes:
    return replace(Changes(revision=on.revision, epoch=on.epoch, revocation=on.revocation), **more)  # type: ignore[arg-type]


def change(scope: str, number: int) -> BreakerChange:
    return BreakerChange(
        scope=scope, at=NOW, before=StateName.CLOSED, after=StateName.OPEN, epoch=number, reason=f"no {number}"
    )


async def test_an_empty_store_is_normal(store: SafetyStore) -> None:
    empty = await store.load()
    assert (empty.revision, empty.epoch, empty.revocation) == (0, 0, 0)
    assert (empty.mode.mode, empty.mode.since) == (Mode.NORMAL, None)
    assert not empty.breakers
    assert not empty.tokens
    assert empty.taken_in == ()
    assert await store.history(5) == {}


async def test_everything_comes_back_as_it_went_in(store: SafetyStore) -> None:
    breakers = tuple(
        Breaker(scope=f"agent:a{n}", state=state, epoch=n, consecutive=2, recent=0b1011, attempts=20, reason="why")
        for n, state in enumerate(STATES)
    )
    tokens = (
        TOKEN,
        replace(TOKEN, id="xyz", digest="e" * 64, expires_at=NOW, revoked_at=NOW, last_used_at=NOW),
    )
    mode = ModeRecord(mode=Mode.STOPPED, reason="fire", actor="ann", since=NOW)
    keys = (AttemptKey("t2", 5), AttemptKey("t1", 2**62))
    written = changes(
        await store.load(), epoch=9, revocation=4, mode=mode, breakers=breakers, tokens=tokens, taken_in=keys
    )
    assert await store.commit(written) == 1
    found = await store.load()
    assert (found.revision, found.epoch, found.revocation, found.mode) == (1, 9, 4, mode)
    assert found.breakers == {breaker.scope: breaker for breaker in breakers}
    assert found.tokens == {token.id: token for token in tokens}
    assert found.taken_in == keys


async def test_what_is_not_named_stays(store: SafetyStore) -> None:
    breaker = Breaker(scope="fleet", state=ForcedOpen(actor="ann"))
    mode = ModeRecord(mode=Mode.STOPPED, since=NOW)
    await store.commit(changes(await store.load(), breakers=(breaker,), tokens=(TOKEN,), mode=mode))
    await store.commit(changes(await store.load(), breakers=(Breaker(scope="agent:a"),)))
    found = await store.load()
    assert found.breakers.keys() == {"fleet", "agent:a"}
    assert (found.mode, found.tokens) == (mode, {"abc": TOKEN})


async def test_a_later_value_replaces_an_earlier_one(store: SafetyStore) -> None:
    for state in STATES:
        await store.commit(changes(await store.load(), breakers=(Breaker(scope="fleet", state=state),)))
        assert (await store.load()).breakers["fleet"].state == state


async def test_a_change_that_rests_on_an_old_state_is_refused_whole(store: SafetyStore) -> None:
    old = await store.load()
    await store.commit(changes(old))
    with pytest.raises(Stale):
        await store.commit(changes(old, epoch=5, tokens=(TOKEN,)))
    found = await store.load()
    assert (found.revision, found.epoch, found.tokens) == (1, 0, {})


async def test_outcomes_and_history_are_bounded_and_lose_the_oldest(
    store: SafetyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "sqlite"):
        monkeypatch.setattr(f"services.safety.adapters.{module}.OUTCOMES_KEPT_MAX", 10)
        monkeypatch.setattr(f"services.safety.adapters.{module}.HISTORY_KEPT_MAX", 10)
    for start in (0, 8):
        keys = tuple(AttemptKey("t", number) for number in range(start, start + 8))
        lines = tuple(change("fleet", number) for number in range(start, start + 8))
        await store.commit(changes(await store.load(), taken_in=keys, history=lines))
    assert [attempt.fence for attempt in (await store.load()).taken_in] == list(range(6, 16))
    assert [line.epoch for line in (await store.history(100))["fleet"]] == list(range(15, 5, -1))


async def test_history_is_newest_first_per_scope(store: SafetyStore) -> None:
    lines = tuple(change(scope, number) for number in range(4) for scope in ("agent:a", "agent:b"))
    await store.commit(changes(await store.load(), history=lines))
    found = await store.history(2)
    assert found == {scope: (change(scope, 3), change(scope, 2)) for scope in ("agent:a", "agent:b")}


def records(head: Head, *told: str) -> tuple[AuditRecord, ...]:
    actor = Actor(name="ann", token_id="t1", source="here")
    entries = [
        AuditEntry(
            at=NOW + timedelta(hours=n), actor=actor, act="a", target="ä", before="b", after="", reason="r", told=id_
        )
        for n, id_ in enumerate(told)
    ]
    return tuple(chain(head, entries, KEY))


async def test_audit_records_come_back_as_they_went_in_and_in_pages(store: SafetyStore) -> None:
    empty = await store.load()
    assert (empty.audit_head, empty.told) == (NO_RECORDS, ())
    written = records(NO_RECORDS, "x1", "", "x2", "")
    await store.commit(changes(empty, audit=written))
    found = await store.load()
    assert (found.audit_head, found.told) == (written[-1].head, ("x1", "x2"))
    more = records(found.audit_head, "x3")
    await store.commit(changes(found, audit=more))
    assert tuple(await store.audit_after(0, 100)) == (*written, *more)
    assert [record.number for record in await store.audit_after(2, 2)] == [3, 4]
    assert [record.number for record in await store.audit_before(None, 2, None)] == [5, 4]
    assert [record.number for record in await store.audit_before(4, 100, None)] == [3, 2, 1]
    assert [record.number for record in await store.audit_before(None, 100, NOW + timedelta(hours=2))] == [4, 3]


async def test_a_refused_commit_leaves_no_audit_record(store: SafetyStore) -> None:
    old = await store.load()
    await store.commit(changes(old))
    with pytest.raises(Stale):
        await store.commit(changes(old, audit=records(NO_RECORDS, "")))
    assert await store.audit_after(0, 10) == []


NONSENSE = [
    "update state set mode = 'ASLEEP'",
    "insert into state values (2, 0, 0, 0, 'NORMAL', '', '', 0)",
    "insert into breaker (scope, state, epoch, consecutive, recent, attempts, reason)"
    " values ('a', 'open', 0, 0, 0, 0, '')",
    "insert into breaker (scope, state, epoch, consecutive, recent, attempts, reason, trips)"
    " values ('a', 'closed', 0, 0, 0, 0, '', 1)",
    "insert into breaker (scope, state, epoch, consecutive, recent, attempts, reason, permit_task)"
    " values ('a', 'closed', 0, 0, 0, 0, '', 't')",
    "insert into breaker (scope, state, epoch, consecutive, recent, attempts, reason)"
    " values ('a', 'forced_open', 0, 0, 0, 0, '')",
    "insert into budget_bucket values (1, 'fleet', 0, 0)",
    "insert into budget_bucket values (1, 'fleet', 1, 2)",
    "insert into budget_standing (scope, grade) values ('fleet', 'spent')",
    "insert into budget_standing (scope, grade, since, evidence) values ('fleet', 'normal', 1, 'why')",
    "insert into budget_standing (scope, grade, permit_task, permit_fence, permit_at, permit_full)"
    " values ('fleet', 'normal', 't', 1, 1, 1)",
    "insert into token values ('a', 'n', 'short', 'read', 0, null, null, null, '', '', null)",
]


@pytest.mark.parametrize("sql", NONSENSE)
async def test_the_database_refuses_impossible_rows(sql: str, tmp_path: Path) -> None:
    with (
        Database.open(tmp_path / "safety.db", key=KEY, migrations=MIGRATIONS) as database,
        pytest.raises(apsw.ConstraintError),
    ):
        await database.write(lambda connection: connection.execute(sql))


async def test_everything_survives_reopening(tmp_path: Path) -> None:
    path = tmp_path / "safety.db"
    with Database.open(path, key=KEY, migrations=MIGRATIONS) as database:
        store = SqliteStore(database)
        await store.commit(changes(await store.load(), tokens=(TOKEN,)))
    with Database.open(path, key=KEY, migrations=MIGRATIONS) as database:
        assert (await SqliteStore(database).load()).tokens == {"abc": TOKEN}
