"""The audit log in SQLite: appended by commits, read in pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import apsw

from services.safety.adapters.rows import Row, to_micros, to_moment
from services.safety.domain.audit import Actor, AuditEntry, AuditRecord, Head, seal_of
from services.safety.ports import TOLD_KEPT_MAX

_PUT = "insert into audit values (" + ", ".join("?" * 14) + ")"
_HEAD = "select number, digest from audit order by number desc limit 1"
_TOLD = "select told from audit where told <> '' order by number desc limit ?"
_AFTER = "select * from audit where number > ? order by number limit ?"
_BEFORE = "select * from audit where number < ? and at >= ? order by number desc limit ?"
_NUMBER_MAX = 2**63 - 1


def write(connection: apsw.Connection, records: Sequence[AuditRecord]) -> None:
    """Append records."""
    connection.executemany(_PUT, map(_row, records))


def head(connection: apsw.Connection) -> Head:
    """The end of the log as it is stored."""
    for number, digest in connection.execute(_HEAD):
        return Head(count=number, digest=digest)
    return Head()


def seal_anew(connection: apsw.Connection, key: bytes) -> Head:
    """Give every record the seal of another key, its content and chain as they are; returns the log's end."""
    connection.create_scalar_function("seal_of", lambda *values: seal_of(str(values[0]), key), 1)
    connection.execute("update audit set seal = seal_of(digest)")
    connection.create_scalar_function("seal_of", None)
    return head(connection)


def told(connection: apsw.Connection) -> tuple[str, ...]:
    """The ids of the newest acts that others told, oldest first."""
    return tuple(row[0] for row in connection.execute(_TOLD, (TOLD_KEPT_MAX,)))[::-1]


def after(connection: apsw.Connection, number: int, limit: int) -> Sequence[AuditRecord]:
    """Up to `limit` records with greater numbers, in order."""
    return [_read(row) for row in connection.execute(_AFTER, (number, limit))]


def before(
    connection: apsw.Connection, number: int | None, limit: int, since: datetime | None
) -> Sequence[AuditRecord]:
    """Up to `limit` records with smaller numbers, not older than `since`, newest first."""
    oldest = 0 if since is None else to_micros(since)
    upper = _NUMBER_MAX if number is None else number
    return [_read(row) for row in connection.execute(_BEFORE, (upper, oldest, limit))]


def _row(record: AuditRecord) -> Row:
    entry, actor = record.entry, record.entry.actor
    return (
        record.number,
        to_micros(entry.at),
        *(actor.name, actor.token_id, actor.source),
        *(entry.act, entry.target, entry.before, entry.after, entry.reason, entry.told),
        *(record.previous, record.digest, record.seal),
    )


def _read(row: Row) -> AuditRecord:
    number, at, name, token_id, source, act, target, value_before, value_after, reason, told_as, *ends = row
    previous, digest, seal = ends
    entry = AuditEntry(
        at=_moment(at),
        actor=Actor(name=name, token_id=token_id, source=source),
        act=act,
        target=target,
        before=value_before,
        after=value_after,
        reason=reason,
        told=told_as,
    )
    return AuditRecord(number=number, entry=entry, previous=previous, digest=digest, seal=seal)


def _moment(micros: int) -> datetime:
    """The moment of a row; a number that is none, which only somebody else can have written, stops nobody."""
    try:
        return to_moment(micros)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
