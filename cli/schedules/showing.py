"""How a schedule is shown: as a row of a table, and in full."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import click

from cli.output.printing import printable, took
from clients.schedules_values import ScheduleReason, ScheduleView


def row(schedule: ScheduleView) -> tuple[str, ...]:
    """One line of `quantum schedule list`; its times are those of its own zone."""
    task = schedule.last_task
    return (
        schedule.name,
        schedule.cron,
        schedule.timezone,
        _next(schedule),
        local(schedule.last_due, schedule.timezone),
        took(schedule.late),
        str(schedule.missed) if schedule.missed else "-",
        f"{task.id} {task.state}" if task else "-",
    )


def say(schedule: ScheduleView | None, reason: ScheduleReason) -> None:
    """Everything about one schedule, the reason why nothing of it starts now first."""
    click.echo(f"{f'{schedule.name}: ' if schedule else ''}{printable(reason.sentence)}")
    if reason.remedy:
        click.echo(f"  → {reason.remedy}")
    if schedule is None:
        return
    zone = schedule.timezone
    facts = {
        "when": f"{schedule.cron}, {zone}",
        "next": "\n                 ".join(local(at, zone) for at in schedule.next_runs),
        "last run": _last(schedule),
        "passed over": f"{schedule.passed} since then: {schedule.passed_because}" if schedule.passed else "",
        "overlap": schedule.overlap,
        "catch up": f"up to {took(schedule.catch_up)} late" if schedule.catch_up is not None else "",
    }
    for name, fact in facts.items():
        if fact:
            click.echo(f"  {name + ':':14} {fact}")


def local(moment: datetime | None, zone: str) -> str:
    """A moment in a time zone, to the minute; `-` when there is none."""
    return "-" if moment is None else f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _next(schedule: ScheduleView) -> str:
    if schedule.paused:
        return "paused"
    return local(schedule.next_runs[0], schedule.timezone) if schedule.next_runs else "-"


def _last(schedule: ScheduleView) -> str:
    if schedule.last_due is None:
        return "none yet"
    late = f", late {took(schedule.late)}" if schedule.late else ""
    missed = f", for {schedule.missed + 1} due times" if schedule.missed else ""
    task = schedule.last_task
    became = f": task {task.id} {task.state}" if task else ""
    return f"of {local(schedule.last_due, schedule.timezone)}{late}{missed}{became}"
