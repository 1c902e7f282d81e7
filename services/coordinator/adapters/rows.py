"""Tasks as rows of SQLite and back: positional and by hand, because every event of every task passes here."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

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
        _stamp_or_none(task.not_before),
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
        _stamp_or_none(task.started_at),
        _stamp_or_none(task.finished_at),
        *_measured(task.measured, place),
        task.retry_of,
        task.parent,
        task.submitted_by,
        task.clearing,
        json.dumps(dict(task.labels)) if task.labels else None,
        change,
    )


def touched(before: Task, after: Task, change: int, place: Place) -> Row:
    """The values of `touch_task`."""
    return (*_changed(after, change, place), before.id, before.state, before.fence)


def moved(before: Task, after: Task, change: int, place: Place) -> Row:
    """The values of `move_task`."""
    return (
        *_changed(after, change, place),
        after.state,
        stamp(after.ready_at),
        _stamp_or_none(after.finished_at),
        after.clearing,
        before.id,
        before.state,
        before.fence,
    )


def _changed(task: Task, change: int, place: Place) -> Row:
    return (
        task.fence,
        task.holder,
        task.runner,
        task.reason,
        task.cancel_requested,
        task.attempt,
        task.failures,
        task.timeouts,
        task.deferrals,
        task.losses,
        _stamp_or_none(task.not_before),
        _stamp_or_none(task.started_at),
        *_measured(task.measured, place),
        change,
    )


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
    """The text that stands for limits."""
    return json.dumps([part for use in limits for part in (use.name, use.value, use.enforcement)])


_NOTHING: Row = (None, None, None, None, None, 0, 0, None)
_NOTHING_PLACED: Row = (*_NOTHING, None)


@lru_cache(maxsize=512)
def _limits(text: str) -> tuple[LimitUse, ...]:
    # The attempts of one agent have the same limits, so that the same text comes again and again.
    parts = iter(json.loads(text))
    return tuple(
        LimitUse(name=name, value=value, enforcement=enforcement)
        for name, value, enforcement in zip(parts, parts, parts, strict=True)
    )


def _stamp_or_none(at: datetime | None) -> int | None:
    return None if at is None else stamp(at)


def _span_or_none(span: timedelta | None) -> int | None:
    return None if span is None else microseconds(span)
