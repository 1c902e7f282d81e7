"""`quantum schedule`: what it shows, and what it says of an act."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from clients.coordinator_values import TaskView
from clients.schedules_values import ScheduleExplanation, ScheduleReason, ScheduleView
from tests.cli.conftest import Quantum
from tests.cli.fakes import NOW, PlayedCoordinator

LATE = ScheduleView(
    name="backup",
    agent="backup",
    project="",
    cron="0 3 * * *",
    timezone="Europe/Berlin",
    overlap="skip",
    catch_up=timedelta(hours=12),
    paused=False,
    paused_by="",
    paused_at=None,
    paused_reason="",
    next_runs=tuple(NOW + timedelta(days=number, hours=2) for number in range(5)),
    last_due=NOW - timedelta(hours=22),
    last_fired_at=NOW - timedelta(hours=18, minutes=50),
    late=timedelta(hours=3, minutes=10),
    missed=39,
    passed=2,
    passed_because="task t1 of the time before ran still",
    last_task=None,
    problem="",
)


@dataclass
class PlayedSchedules:
    """One schedule, whose run was late."""

    found: tuple[ScheduleView, ...] = (LATE,)
    tasks: tuple[TaskView, ...] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def list(self) -> tuple[ScheduleView, ...]:
        """What there is."""
        return self.found

    async def pause(self, name: str, *, reason: str) -> bool:
        """Once."""
        self.asked.append((name, reason))
        return len(self.asked) == 1

    async def resume(self, name: str) -> bool:
        """Never."""
        return False

    async def run(self, name: str, *, idempotency_key: str) -> tuple[TaskView, ...]:
        """The tasks there are."""
        assert idempotency_key
        return self.tasks

    async def why(self, name: str) -> ScheduleExplanation:
        """It rests."""
        reason = ScheduleReason(
            code="paused", sentence="user lets it rest.", until=None, remedy=f"quantum schedule resume {name}"
        )
        return ScheduleExplanation(schedules=self.found, reasons=(reason,))


@pytest.fixture
def schedules(coordinator: PlayedCoordinator) -> PlayedSchedules:
    one = PlayedSchedules()
    coordinator.schedules = one
    return one


def test_the_list_shows_the_times_of_its_own_zone_and_what_was_late(
    quantum: Quantum, schedules: PlayedSchedules
) -> None:
    schedules.found = (LATE, replace(LATE, name="smoke", paused=True, problem="The queue is full."))
    head, late, paused, problem = quantum("schedule", "list").out.splitlines()
    assert head.split()[:4] == ["NAME", "WHEN", "ZONE", "NEXT"]
    when, zone, due, last, late_by = "0 3 * * *", "Europe/Berlin", "2026-01-01 03:00", "2025-12-31 03:00", "3 h 10 min"
    assert late.split() == f"backup {when} {zone} {due} {last} {late_by} 39 -".split()
    assert (" paused " in paused, problem) == (True, "smoke: The queue is full.")


def test_as_json_moments_are_in_utc_and_durations_in_seconds(quantum: Quantum, schedules: PlayedSchedules) -> None:
    [schedule] = quantum("schedule", "list", "--json").document["schedules"]
    assert (schedule["late_seconds"], schedule["catch_up_seconds"], schedule["project"]) == (11_400, 43_200, None)
    assert schedule["next_runs"][0] == "2026-01-01T02:00:00Z"


def test_why_says_the_reason_first_and_then_the_next_five_times(quantum: Quantum, schedules: PlayedSchedules) -> None:
    said = quantum("schedule", "why", "backup").out
    assert said.splitlines()[:2] == ["backup: user lets it rest.", "  → quantum schedule resume backup"]
    assert [f"2026-01-0{day} 03:00" in said for day in range(1, 6)] == [True] * 5
    assert "of 2025-12-31 03:00, late 3 h 10 min, for 40 due times" in said
    assert "2 since then: task t1 of the time before ran still" in said
    assert "up to 12 h 0 min late" in said


def test_a_pause_names_its_undoing_and_says_when_nothing_changed(quantum: Quantum, schedules: PlayedSchedules) -> None:
    assert quantum("schedule", "pause", "backup", "--reason", "quiet").out.splitlines() == [
        "Schedule backup rests.",
        "  undo: quantum schedule resume backup",
    ]
    assert schedules.asked == [("backup", "quiet")]
    assert quantum("schedule", "pause", "backup").out.startswith("Schedule backup rested already.")
    assert quantum("schedule", "resume", "backup").out == "Schedule backup did not rest.\n"


def test_run_prints_the_tasks(quantum: Quantum, schedules: PlayedSchedules, coordinator: PlayedCoordinator) -> None:
    schedules.tasks = (coordinator.put("t7"),)
    assert quantum("schedule", "run", "backup").out == "t7\n"


def test_no_schedule_says_how_to_make_one(quantum: Quantum, schedules: PlayedSchedules) -> None:
    schedules.found = ()
    assert "schedule = " in quantum("schedule", "list").out
