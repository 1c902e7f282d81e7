"""Tasks as rows of SQLite and back: positional and by hand, because every event of every task passes here."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, compress
from operator import is_not
from typing import Any, cast

from services.coordinator.domain.ready import labels_text
from services.coordinator.domain.task import (
    NO_LABELS,
    NOTHING_MEASURED,
    Effects,
    LimitUse,
    Measured,
    Task,
    TaskState,
)

Value = str | int | None
Row = tuple[Value, ...]
Place = Callable[[tuple[LimitUse, ...]], tuple[str | None, int | None]]
"""Says where limits are written: the values of `limits` and `limit_set`."""
Writer = Callable[[Any, Place], Row]
"""Turns the value of a field into those of its columns."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RANK_MAX = 9
# Longer ones stand in a table of their own, so that a move of the task does not write them again.
PARAMS_INLINE_MAX = 1_000

COLUMNS = (
    "id, agent, state, created_at, ready_at, fence, project,"
    " coalesce(params, (select params from long_params where task_id = tasks.id)),"
    " rank, reason, not_before, depends_on, effects, retries, timeout, cancel_requested, attempt, failures, timeouts,"
    " deferrals, losses, holder, runner, started_at, finished_at, retry_of, parent, submitted_by, clearing, labels,"
    " change, exit_code, signal, duration, cpu, memory_peak, output_bytes, output_cut,"
    " coalesce(limits, (select limits from limit_sets where id = limit_set))"
)

_MEASURED_FROM = 31  # where the columns of Measured begin

_STATES = {state.value: state for state in TaskState}
_EFFECTS = {effects.value: effects for effects in Effects}


def microseconds(span: timedelta) -> int:
    """A duration as a whole number of microseconds."""
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def stamp(at: datetime) -> int:
    """A moment as microseconds since 1970 UTC."""
    return microseconds(at - EPOCH)


def moment(stamped: int) -> datetime:
    """The inverse of `stamp`."""
    return EPOCH + timedelta(microseconds=stamped)


def stamp_or_none(at: datetime | None) -> int | None:
    """As `stamp`, of a moment that may still be to come."""
    return None if at is None else stamp(at)


def moment_or_none(stamped: int | None) -> datetime | None:
    """The inverse of `stamp_or_none`."""
    return None if stamped is None else moment(stamped)


def inserted(task: Task, change: int, place: Place) -> Row:
    """The values of `insert_task`."""
    params = task.params if len(task.params) <= PARAMS_INLINE_MAX else None
    return (
        task.id,
        task.agent,
        task.state,
        stamp(task.created_at),
        stamp(task.ready_at),
        task.fence,
        task.project,
        params,
        RANK_MAX - task.priority,
        task.reason,
        stamp_or_none(task.not_before),
        " ".join(task.depends_on) or None,
        task.effects,
        task.retries,
        _span_or_none(task.timeout),
        task.cancel_requested,
        task.attempt,
        task.failures,
        task.timeouts,
        task.deferrals,
        task.losses,
        task.holder,
        task.runner,
        stamp_or_none(task.started_at),
        stamp_or_none(task.finished_at),
        *_measured(task.measured, place),
        task.retry_of,
        task.parent,
        task.submitted_by,
        task.clearing,
        labels_text(task.labels) or None,
        change,
    )


def inserted_alike(tasks: Sequence[Task], first_change: int, place: Place) -> Row:
    """The values of `insert_alike`: the ids as JSON, what is the same in all rows, the first change."""
    return (json.dumps([task.id for task in tasks]), *inserted(tasks[0], first_change, place)[1:])


def are_alike(tasks: Sequence[Task]) -> bool:
    """Whether several tasks differ in nothing but their ids, as when one call asks for the same many times."""
    if len(tasks) < 2:
        return False
    the_same = tasks[0][1:]
    return all(task[1:] == the_same for task in tasks)


def changed_fields(before: Task, after: Task) -> tuple[int, ...]:
    """The places of the fields in which two versions of a task differ."""
    others = compress(_PLACES, map(is_not, before, after))  # an event leaves most fields the very same objects
    return tuple([at for at in others if before[at] != after[at]])


_PLACES = range(len(Task._fields))


@dataclass(frozen=True, slots=True)
class Move:
    """The statement that writes some fields of tasks, guarded by the state and fence that they had before."""

    sql: str
    _fields: tuple[tuple[int, Writer | None], ...]

    def row(self, before: Task, after: Task, place: Place, *change: int) -> Row:
        """The values of the statement, for one task."""
        values: list[Value] = [*change]
        for at, write in self._fields:
            if write is None:
                values.append(cast(Value, after[at]))
            else:
                values += write(after[at], place)
        values += (before.id, before.state, before.fence)
        return tuple(values)


@lru_cache(maxsize=512)
def move_of(changed: tuple[int, ...], *, heard: bool) -> Move | None:
    """The move that writes these fields and no other, so that no index is touched that need not be.

    None when one of them is part of what was asked for. `heard`: the position of the change is written, too.
    """
    names = [Task._fields[at] for at in changed]
    if any(name not in _MOVABLE for name in names):
        return None
    written = [_MOVABLE[name] for name in names]
    columns = chain(["change"] if heard else [], *(columns for columns, _ in written))
    settings = ", ".join(f"{column} = ?" for column in columns)
    sql = f"update tasks set {settings} where id = ? and state = ? and fence = ?"
    return Move(sql, tuple((at, write) for at, (columns, write) in zip(changed, written, strict=True) if columns))


def read_task(row: Sequence[Any]) -> Task:
    """A task from the {task} columns of a row."""
    (
        id_, agent, state, created_at, ready_at, fence, project, params, rank, reason, not_before, depends_on, effects,
        retries, timeout, cancel_requested, attempt, failures, timeouts, deferrals, losses, holder, runner, started_at,
        finished_at, retry_of, parent, submitted_by, clearing, labels, change,
    ) = row[:_MEASURED_FROM]  # fmt: skip
    return Task(
        id_, agent, _STATES[state], EPOCH + timedelta(microseconds=created_at),
        EPOCH + timedelta(microseconds=ready_at), fence, project, params, RANK_MAX - rank, reason,
        None if not_before is None else moment(not_before), tuple(depends_on.split(" ")) if depends_on else (),
        _EFFECTS[effects], retries, None if timeout is None else timedelta(microseconds=timeout),
        cancel_requested == 1, attempt, failures, timeouts, deferrals, losses, holder, runner,
        None if started_at is None else moment(started_at), None if finished_at is None else moment(finished_at),
        _read_measured(row[_MEASURED_FROM:]), retry_of, parent, submitted_by, clearing,
        json.loads(labels) if labels else NO_LABELS, change,
    )  # fmt: skip


def _read_measured(values: Sequence[Any]) -> Measured:
    if values == _NOTHING:
        return NOTHING_MEASURED
    exit_code, signal, duration, cpu, memory_peak, output_bytes, output_cut, limits = values
    return Measured(
        exit_code=exit_code,
        signal=signal,
        duration=None if duration is None else timedelta(microseconds=duration),
        cpu=None if cpu is None else timedelta(microseconds=cpu),
        memory_peak_bytes=memory_peak,
        output_bytes=output_bytes,
        output_cut=output_cut == 1,
        limits=_limits(limits) if limits else (),
    )


def _measured(measured: Measured, place: Place) -> Row:
    if measured is NOTHING_MEASURED:
        return _NOTHING_PLACED
    return (
        measured.exit_code,
        measured.signal,
        _span_or_none(measured.duration),
        _span_or_none(measured.cpu),
        measured.memory_peak_bytes,
        measured.output_bytes,
        measured.output_cut,
        *place(measured.limits),
    )


def written_limits(limits: Sequence[LimitUse]) -> str:
    """The text that stands for limits: triples in one flat list; lists of four where one of them has a detail."""
    if any(use.detail for use in limits):
        return json.dumps([(use.name, use.value, use.enforcement, use.detail) for use in limits], ensure_ascii=False)
    return json.dumps([part for use in limits for part in (use.name, use.value, use.enforcement)])


_NOTHING: Row = (None, None, None, None, None, 0, 0, None)
_NOTHING_PLACED: Row = (*_NOTHING, None)


@lru_cache(maxsize=512)
def _limits(text: str) -> tuple[LimitUse, ...]:
    # The attempts of one agent have the same limits, so that the same text comes again and again.
    read = json.loads(text)
    if read and isinstance(read[0], list):
        return tuple(
            LimitUse(name=name, value=value, enforcement=enforcement, detail=detail)
            for name, value, enforcement, detail in read
        )
    parts = iter(read)
    return tuple(
        LimitUse(name=name, value=value, enforcement=enforcement)
        for name, value, enforcement in zip(parts, parts, parts, strict=True)
    )


def _span_or_none(span: timedelta | None) -> int | None:
    return None if span is None else microseconds(span)


def _write_moment(at: datetime | None, _place: Place) -> Row:
    return (stamp_or_none(at),)


# What events may change of a task: the columns, and how a value becomes theirs (None: as it is).
_MOVABLE: Mapping[str, tuple[tuple[str, ...], Writer | None]] = {
    **{
        name: ((name,), None)
        for name in (
            "state", "fence", "holder", "runner", "reason", "cancel_requested", "attempt", "failures", "timeouts",
            "deferrals", "losses", "clearing",
        )
    },
    **{name: ((name,), _write_moment) for name in ("ready_at", "not_before", "started_at", "finished_at")},
    "measured": (
        (
            "exit_code", "signal", "duration", "cpu", "memory_peak", "output_bytes", "output_cut", "limits",
            "limit_set",
        ),
        _measured,
    ),
    "change": ((), None),  # the store's own
}  # fmt: skip
