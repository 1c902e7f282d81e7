"""The error budgets in SQLite: a row per scope and minute, and one per scope that a limit or a person has touched."""

from __future__ import annotations

from datetime import timedelta

import apsw

from services.safety.adapters.rows import Row, to_micros, to_micros_or_none, to_moment
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.breaker import Permit
from services.safety.domain.budget import Acting, Forgiven, Grade, Standing
from services.safety.domain.budget_book import BudgetRecords
from services.safety.domain.budget_counts import Bucket
from services.safety.domain.deadline import Deadline

_BUCKETS = "select scope, minute, attempts, failures from budget_bucket order by minute, scope"
_STANDINGS = "select * from budget_standing"
_FORGET = "delete from budget_bucket where minute <= ?"
_CLEAR = "delete from budget_bucket where scope = ?"
_PUT_BUCKET = "insert or replace into budget_bucket (scope, minute, attempts, failures) values (?, ?, ?, ?)"
_PUT_STANDING = "insert or replace into budget_standing values (" + ", ".join("?" * 11) + ")"
_MICROSECOND = timedelta(microseconds=1)


def load(connection: apsw.Connection) -> BudgetRecords:
    """Everything there is."""
    return BudgetRecords(
        standings=tuple(_read(row) for row in connection.execute(_STANDINGS)),
        buckets=tuple((scope, Bucket(*rest)) for scope, *rest in connection.execute(_BUCKETS)),
    )


def write(connection: apsw.Connection, records: BudgetRecords) -> None:
    """Forget what is to be forgotten, then write the rest."""
    if records.buckets:
        connection.execute(_FORGET, (records.forget_up_to,))
    for scope in records.cleared:
        connection.execute(_CLEAR, (scope,))
    connection.executemany(_PUT_BUCKET, ((scope, *bucket) for scope, bucket in records.buckets))
    connection.executemany(_PUT_STANDING, map(_row, records.standings))


def _row(standing: Standing) -> Row:
    acting, permit, forgiven = standing.acting, standing.permit, standing.forgiven
    return (
        standing.scope,
        standing.grade.value,
        to_micros_or_none(acting.since if acting else None),
        acting.evidence if acting else None,
        *(permit.holder if permit else (None, None)),
        *((to_micros(permit.deadline.at), permit.deadline.full // _MICROSECOND) if permit else (None, None)),
        *((to_micros(forgiven.at), forgiven.actor, forgiven.reason) if forgiven else (None, None, None)),
    )


def _read(row: Row) -> Standing:
    """The standing in a row; the table's checks say which columns are there together."""
    scope, grade, since, evidence, task, fence, permit_at, permit_full, forgiven_at, by, why = row
    deadline = None
    if permit_at is not None:
        deadline = Deadline(at=to_moment(permit_at), full=timedelta(microseconds=permit_full))
    return Standing(
        scope=scope,
        acting=None if since is None else Acting(since=to_moment(since), evidence=evidence, grade=Grade(grade)),
        permit=Permit(holder=AttemptKey(task, fence), deadline=deadline) if deadline else None,
        forgiven=None if forgiven_at is None else Forgiven(at=to_moment(forgiven_at), actor=by, reason=why),
    )
