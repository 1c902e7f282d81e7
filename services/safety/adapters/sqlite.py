"""The store in encrypted SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import apsw

from foundation.sqlite.database import Database
from services.safety.adapters import sqlite_alerts, sqlite_audit, sqlite_budget, sqlite_roster, sqlite_spend
from services.safety.adapters.memory import state_moved
from services.safety.adapters.rows import (
    breaker_row,
    change_row,
    read_breaker,
    read_change,
    read_token,
    to_micros,
    to_moment,
    token_row,
)
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.audit import AuditRecord
from services.safety.domain.book import BreakerChange
from services.safety.domain.mode import Mode, ModeRecord
from services.safety.ports import HISTORY_KEPT_MAX, OUTCOMES_KEPT_MAX, Changes, Snapshot

MIGRATIONS = Path(__file__).parent / "migrations"

_STATE = "select revision, epoch, revocation, mode, mode_reason, mode_actor, mode_since from state"
_NEVER = 0  # in `mode_since`: the mode is as the database came
_PUT_STATE = "update state set revision = ?, epoch = ?, revocation = ?"
_PUT_MODE = "update state set mode = ?, mode_reason = ?, mode_actor = ?, mode_since = ?"
_PUT_BREAKER = "insert or replace into breaker values (" + ", ".join("?" * 17) + ")"
_PUT_TOKEN = "insert or replace into token values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_CHANGE = (
    "insert into breaker_change (scope, at, state_before, state_after, epoch, reason, actor)"
    " values (?, ?, ?, ?, ?, ?, ?)"
)
_PUT_OUTCOME = "insert into outcome (task, fence) values (?, ?)"
_TRIM_CHANGES = "delete from breaker_change where number <= (select max(number) from breaker_change) - ?"
_TRIM_OUTCOMES = "delete from outcome where number <= (select max(number) from outcome) - ?"
_HISTORY = """
select scope, at, state_before, state_after, epoch, reason, actor
  from (select *, row_number() over (partition by scope order by number desc) as age from breaker_change)
 where age <= ?
 order by number desc
"""


class SqliteStore:
    """Keeps safety's state in one database that nobody else opens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> Snapshot:
        """The whole state."""
        return await self._database.read(_load)

    async def commit(self, changes: Changes) -> int:
        """Write the changes durably and return the new revision; raises Stale when another writer was first."""
        return await self._database.write(lambda connection: _commit(connection, changes))

    async def history(self, per_scope: int) -> Mapping[str, tuple[BreakerChange, ...]]:
        """The newest lines of each breaker's history, newest first."""
        return await self._database.read(lambda connection: _history(connection, per_scope))

    async def audit_after(self, number: int, limit: int) -> Sequence[AuditRecord]:
        """Up to `limit` records with greater numbers, in order."""
        return await self._database.read(lambda connection: sqlite_audit.after(connection, number, limit))

    async def audit_before(self, number: int | None, limit: int, since: datetime | None) -> Sequence[AuditRecord]:
        """Up to `limit` records with smaller numbers, not older than `since`, newest first."""
        return await self._database.read(lambda connection: sqlite_audit.before(connection, number, limit, since))


def _load(connection: apsw.Connection) -> Snapshot:
    ((revision, epoch, revocation, mode, reason, actor, since),) = connection.execute(_STATE)
    breakers = [read_breaker(row) for row in connection.execute("select * from breaker")]
    tokens = [read_token(row) for row in connection.execute("select * from token")]
    outcomes = connection.execute("select task, fence from outcome order by number")
    return Snapshot(
        revision=revision,
        epoch=epoch,
        revocation=revocation,
        mode=ModeRecord(mode=Mode[mode], reason=reason, actor=actor, since=_moment_of_mode(since)),
        breakers={breaker.scope: breaker for breaker in breakers},
        roster=sqlite_roster.load(connection),
        tokens={token.id: token for token in tokens},
        taken_in=tuple(AttemptKey(task, fence) for task, fence in outcomes),
        audit_head=sqlite_audit.head(connection),
        told=sqlite_audit.told(connection),
        spend=sqlite_spend.load(connection),
        budgets=sqlite_budget.load(connection),
        alerts=sqlite_alerts.load(connection),
    )


def _moment_of_mode(micros: int) -> datetime | None:
    return None if micros == _NEVER else to_moment(micros)


def _since_of_mode(mode: ModeRecord) -> int:
    return _NEVER if mode.since is None else to_micros(mode.since)


def _commit(connection: apsw.Connection, changes: Changes) -> int:
    ((revision,),) = connection.execute("select revision from state")
    if revision != changes.revision:
        raise state_moved(changes.revision, revision)
    connection.execute(_PUT_STATE, (revision + 1, changes.epoch, changes.revocation))
    if changes.mode is not None:
        mode = changes.mode
        connection.execute(_PUT_MODE, (mode.mode.name, mode.reason, mode.actor, _since_of_mode(mode)))
    if changes.breakers:
        connection.executemany(_PUT_BREAKER, map(breaker_row, changes.breakers))
    if changes.roster:
        sqlite_roster.write(connection, changes.roster)
    if changes.tokens:
        connection.executemany(_PUT_TOKEN, map(token_row, changes.tokens))
    if changes.history:
        connection.executemany(_PUT_CHANGE, map(change_row, changes.history))
        connection.execute(_TRIM_CHANGES, (HISTORY_KEPT_MAX,))
    if changes.taken_in:
        connection.executemany(_PUT_OUTCOME, changes.taken_in)
        connection.execute(_TRIM_OUTCOMES, (OUTCOMES_KEPT_MAX,))
    if changes.audit:
        sqlite_audit.write(connection, changes.audit)
    sqlite_spend.write(connection, changes.spend)
    if changes.budgets:
        sqlite_budget.write(connection, changes.budgets)
    if changes.alerts or changes.alerts_forgotten:
        sqlite_alerts.write(connection, changes.alerts, changes.alerts_forgotten)
    return int(revision) + 1


def _history(connection: apsw.Connection, per_scope: int) -> Mapping[str, tuple[BreakerChange, ...]]:
    found: dict[str, list[BreakerChange]] = {}
    for row in connection.execute(_HISTORY, (per_scope,)):
        change = read_change(row)
        found.setdefault(change.scope, []).append(change)
    return {scope: tuple(changes) for scope, changes in found.items()}
