"""Schedules, as they are asked for and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from gateway.schemas.answers import Task, TaskSummary
from gateway.schemas.base import Output, Query

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(@[A-Za-z0-9][A-Za-z0-9 ._-]{0,99})?$"


class SchedulePath(Query):
    """The address of a schedule."""

    name: Annotated[str, Field(pattern=_NAME, description="agent, for all of its schedules, or agent@project.")]


class Schedule(Output):
    """One schedule. Moments are in UTC."""

    name: str
    agent: str
    project: str | None
    cron: str
    timezone: str = Field(description="In which cron is reckoned.")
    overlap: str = Field(description="skip, queue or allow: what happens while the run before is not over.")
    catch_up_seconds: float | None = Field(description="How late a missed run is made up; null: however late.")
    paused: bool
    paused_by: str | None
    paused_at: datetime | None
    paused_reason: str | None
    next_runs: list[datetime] = Field(description="At most five; none while it rests or cannot be run.")
    last_due: datetime | None = Field(description="The due time of its last run.")
    last_fired_at: datetime | None
    late_seconds: float | None = Field(description="How late that was; null: less than a minute, or none yet.")
    missed: int = Field(description="Due times that the last run stood for beside its own.")
    passed: int = Field(description="Due times since then for which nothing was started.")
    passed_because: str | None
    last_task: TaskSummary | None
    problem: str | None = Field(description="Why it cannot be started.")


class Schedules(Output):
    """Every schedule, by name."""

    schedules: list[Schedule]


class ScheduleReason(Output):
    """Why nothing of a schedule starts now."""

    code: str
    sentence: str
    until: datetime | None = Field(description="When it may change by itself.")
    remedy: str | None


class ScheduleWhy(Output):
    """The schedules that a name means, with a reason for each; a single reason where there is none."""

    schedules: list[Schedule]
    reasons: list[ScheduleReason]


class SchedulePaused(Output):
    """Whether that changed anything."""

    changed: bool
    undo: str = Field(description="The line that undoes it.")


class ScheduleRun(Output):
    """The tasks that were started."""

    tasks: list[Task]
