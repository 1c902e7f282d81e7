"""The alerts in their table: read whole at the start, written by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import apsw

from services.safety.adapters.rows import Row, to_micros, to_micros_or_none, to_moment, to_moment_or_none
from services.safety.domain.alert import Group, Level

_PUT = f"insert or replace into alert values ({', '.join('?' * 13)})"


def load(connection: apsw.Connection) -> Mapping[str, Group]:
    """Every group by its cause."""
    groups = map(_read, connection.execute("select * from alert"))
    return {group.cause: group for group in groups}


def write(connection: apsw.Connection, groups: Iterable[Group], forgotten: Iterable[str]) -> None:
    """Put some groups, and forget others."""
    connection.executemany(_PUT, map(_row, groups))
    connection.executemany("delete from alert where cause = ?", [(cause,) for cause in forgotten])


def _row(group: Group) -> Row:
    return (
        group.cause,
        int(group.level),
        group.sentence,
        group.remedy,
        to_micros(group.first_at),
        to_micros(group.last_at),
        group.count,
        to_micros_or_none(group.told_at),
        group.told_count,
        None if group.told_level is None else int(group.told_level),
        int(group.escalated),
        group.acknowledged_by,
        to_micros_or_none(group.resolved_at),
    )


def _read(row: Row) -> Group:
    cause, level, sentence, remedy, first, last, count, told, told_count, told_level, escalated, by, resolved = row
    return Group(
        cause=cause,
        level=Level(level),
        sentence=sentence,
        remedy=remedy,
        first_at=to_moment(first),
        last_at=to_moment(last),
        count=count,
        told_at=to_moment_or_none(told),
        told_count=told_count,
        told_level=None if told_level is None else Level(told_level),
        escalated=bool(escalated),
        acknowledged_by=by,
        resolved_at=to_moment_or_none(resolved),
    )
