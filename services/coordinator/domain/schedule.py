"""Schedules: what a manifest says of one, how it stands, and what is to be done about the due times that have come."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from services.coordinator.domain.cron import due_between, next_after

ON_TIME = timedelta(minutes=1)
"""A run that begins this soon after its time is not late."""
CLOCK_WAS_WRONG = timedelta(days=1)
"""A standing further in the future than this was written under a clock that was wrong."""
ALL_PROJECTS = "all"
REPOSITORIES = "git"


class Overlap(StrEnum):
    """What happens when a due time comes while what was started before is not over."""

    SKIP = "skip"  # nothing: that time is passed over
    QUEUE = "queue"  # one run follows as soon as the one before is over
    ALLOW = "allow"  # it starts beside it, unless that one still waits itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What a manifest says. `cron` has five fields; `written` is what stands there.

    `timezone` "": the workspace's own. `catch_up`: how late a missed run may still be made up; None: however late.
    `projects`: names, or "all", or "git" for those that are repositories; "" is one run without a project.
    `paused`: it rests until somebody resumes it.
    """

    cron: str
    written: str
    timezone: str = ""
    overlap: Overlap = Overlap.SKIP
    catch_up: timedelta | None = None
    projects: tuple[str, ...] = ("",)
    params: str = "{}"
    paused: bool = False


class ScheduleKey(NamedTuple):
    """An agent's schedule for one project ("": for none)."""

    agent: str
    project: str = ""

    @property
    def name(self) -> str:
        """As people name it: `code-health@HabitQuest`, or the agent alone."""
        return f"{self.agent}@{self.project}" if self.project else self.agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who lets a schedule rest, since when and why; `by` "": nobody does."""

    by: str = ""
    at: datetime | None = None
    reason: str = ""


NO_PAUSE = Pause()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a schedule stands. Every due time until `after`, and that itself, has been dealt with.

    `timetable` is the expression and the zone that `after` was reckoned by, "" while no manifest says one. `missed`:
    due times that the last run stood for beside its own. `passed`: those since then for which nothing was started,
    and `passed_because`.
    """

    key: ScheduleKey
    timetable: str
    after: datetime
    last_due: datetime | None = None
    last_fired_at: datetime | None = None
    last_task: str = ""
    missed: int = 0
    passed: int = 0
    passed_because: str = ""
    pause: Pause = NO_PAUSE
    resumed: bool = False
    """Somebody has resumed it: `paused` in the manifest counts no more."""

    @property
    def late(self) -> timedelta | None:
        """How late the last run was begun; None: on time, or never yet."""
        if self.last_due is None or self.last_fired_at is None:
            return None
        late = self.last_fired_at - self.last_due
        return late if late > ON_TIME else None


class Former(StrEnum):
    """How the run before stands."""

    OVER = "over"
    WAITS = "waits"
    RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing is due, or what is due waits for the end of the run before."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The due times that have come are passed over; the standing after it."""

    standing: Standing


@dataclass(frozen=True, slots=True)
class Fire:
    """One run is to be started, for the latest due time."""

    due: datetime
    missed: int


Decision = Nothing | Pass | Fire


def timetable_of(schedule: Schedule, zone: str) -> str:
    """What due times are reckoned by; `zone` is the workspace's."""
    return f"{schedule.cron} {schedule.timezone or zone}"


def first_seen(key: ScheduleKey, timetable: str, *, now: datetime) -> Standing:
    """Nothing that was due before counts."""
    return Standing(key=key, timetable=timetable, after=now)


def in_step(standing: Standing, timetable: str, *, now: datetime) -> Standing:
    """A standing by the present timetable: after a change, or under a clock that was put right, it begins anew."""
    if standing.timetable == timetable and standing.after - now <= CLOCK_WAS_WRONG:
        return standing
    return replace(standing, timetable=timetable, after=now)


def decide(standing: Standing, schedule: Schedule, former: Former, *, paused: bool, now: datetime) -> Decision:
    """What is to be done. One run at most, however many due times have come: a storm helps nobody."""
    cron, zone = standing.timetable.rsplit(" ", 1)
    due = due_between(cron, zone, standing.after, now)
    if due is None:
        return Nothing()
    if paused:
        # They rest, too: nobody waits for what was to rest.
        return Pass(replace(standing, after=due.latest))
    if schedule.catch_up is not None and now - due.latest > max(schedule.catch_up, ON_TIME):
        said = f"it would have been later than catch_up allows, {schedule.catch_up}"
        return Pass(_passed(standing, due.latest, due.times, said))
    if former is not Former.OVER:
        if schedule.overlap is Overlap.QUEUE and former is Former.RUNS:
            return Nothing()
        if schedule.overlap is not Overlap.ALLOW or former is Former.WAITS:
            said = f"task {standing.last_task} of the time before {'ran' if former is Former.RUNS else 'waited'} still"
            return Pass(_passed(standing, due.latest, due.times, said))
    return Fire(due.latest, due.times - 1)


def next_due(standing: Standing) -> datetime | None:
    """The first due time that has not been dealt with, also one that has come."""
    if not standing.timetable:
        return None
    cron, zone = standing.timetable.rsplit(" ", 1)
    return next_after(cron, zone, standing.after)


def undeclared(standing: Standing) -> Standing | None:
    """What is kept of a schedule that no manifest says any more: a person's wish, if there is one."""
    return replace(standing, timetable="") if standing.pause.by or standing.resumed else None


def _passed(standing: Standing, until: datetime, count: int, because: str) -> Standing:
    return replace(standing, after=until, passed=standing.passed + count, passed_because=because)


def fired(standing: Standing, due: datetime, task_id: str, *, missed: int, now: datetime) -> Standing:
    """After a run was started for a due time."""
    return replace(
        standing,
        after=due,
        last_due=due,
        last_fired_at=now,
        last_task=task_id,
        missed=missed,
        passed=0,
        passed_because="",
    )


def started_by_hand(standing: Standing, task_id: str) -> Standing:
    """After a person has started a run: the due times stay as they are."""
    return replace(standing, last_task=task_id)


def paused_by(standing: Standing, by: str, reason: str, *, now: datetime) -> Standing:
    """Let it rest."""
    return replace(standing, pause=Pause(by=by, at=now, reason=reason))


def resumed(standing: Standing, *, now: datetime) -> Standing:
    """Let it go on with the next due time: what was due meanwhile is not made up."""
    return replace(standing, pause=NO_PAUSE, resumed=True, after=max(standing.after, now))


def projects_of(schedule: Schedule, projects: Mapping[str, bool]) -> tuple[str, ...]:
    """The projects that a schedule is for; `projects` says of each one there is whether it is a repository."""
    if schedule.projects == (ALL_PROJECTS,):
        return tuple(sorted(projects))
    if schedule.projects == (REPOSITORIES,):
        return tuple(sorted(name for name, repository in projects.items() if repository))
    return schedule.projects
