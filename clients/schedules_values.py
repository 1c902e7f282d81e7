"""Schedules as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from clients.coordinator_values import TaskView


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """One schedule; `name` is `agent` or `agent@project`.

    `timezone` is the one that `cron` is reckoned in. `overlap` is `skip`, `queue` or `allow`. `catch_up` None: a missed
    run is made up however late. `paused_by` is who lets it rest, or `its manifest`. `next_runs` are at most five, none
    while it rests. `late` None: the last run was on time, or there was none. `missed`: due times that the last run
    stood for beside its own; `passed`: those since then for which nothing was started. `problem`: why it cannot be
    started, empty when it can.
    """

    name: str
    agent: str
    project: str
    cron: str
    timezone: str
    overlap: str
    catch_up: timedelta | None
    paused: bool
    paused_by: str
    paused_at: datetime | None
    paused_reason: str
    next_runs: tuple[datetime, ...]
    last_due: datetime | None
    last_fired_at: datetime | None
    late: timedelta | None
    missed: int
    passed: int
    passed_because: str
    last_task: TaskView | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleReason:
    """Why nothing of a schedule starts now; `until` when that may change by itself, `remedy` a line to type."""

    code: str
    sentence: str
    until: datetime | None
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleExplanation:
    """The schedules that a name means, with a reason for each; a single reason where there is none."""

    schedules: tuple[ScheduleView, ...]
    reasons: tuple[ScheduleReason, ...]
