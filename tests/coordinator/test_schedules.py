"""Schedules start what is due, once: over restarts, several keepers, sleep, a clock that is set, and what is open."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.coordinator.adapters.sqlite import SqliteStore
from services.coordinator.app.schedules import PAUSE_SECONDS_MAX
from services.coordinator.domain.schedule import Former, Overlap, Schedule, Standing, decide
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import StoreTransaction
from tests.coordinator.scheduling import HOUR, HOURLY, MINUTE, START, Scheduled
from tests.coordinator.stores import KEY


async def test_one_task_per_due_time_and_none_for_what_was_before_it_was_seen(scheduled: Scheduled) -> None:
    assert await scheduled.at(START) == []
    assert await scheduled.at(START + 29 * MINUTE) == []
    [task] = await scheduled.at(START + 30 * MINUTE)
    assert (task.state, task.submitted_by, task.created_at) == (TaskState.QUEUED, "schedule", START + 30 * MINUTE)
    await scheduled.desk.end(task)
    assert len(await scheduled.at(START + 31 * MINUTE)) == 1
    assert len(await scheduled.at(START + 90 * MINUTE)) == 2
    standing = await scheduled.standing()
    assert (standing.last_due, standing.late, standing.missed) == (START + 90 * MINUTE, None, 0)


async def test_the_pause_ends_with_the_next_due_time_and_is_never_long(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    assert scheduled.book.keeper.pause_seconds() == PAUSE_SECONDS_MAX
    scheduled.desk.clock.set_now(START + 30 * MINUTE - timedelta(seconds=2))
    assert scheduled.book.keeper.pause_seconds() == pytest.approx(2)


async def test_forty_missed_runs_become_one_that_says_so(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    woken = START + 40 * HOUR + 3 * HOUR / 20  # nine minutes after the fortieth and a half
    [task] = await scheduled.at(woken)
    standing = await scheduled.standing()
    assert (standing.last_task, standing.missed) == (task.id, 39)
    assert (standing.last_due, standing.late) == (START + 39 * HOUR + 30 * MINUTE, timedelta(minutes=39))
    await scheduled.desk.end(task)
    assert len(await scheduled.at(woken + MINUTE)) == 1


async def test_a_daily_run_after_sleep_is_late_by_three_hours_and_ten(scheduled: Scheduled) -> None:
    scheduled.declare(Schedule(cron="0 6 * * *", written="0 6 * * *"))
    await scheduled.at(START)
    [_] = await scheduled.at(datetime(2027, 1, 1, 9, 10, tzinfo=UTC))
    assert (await scheduled.standing()).late == timedelta(hours=3, minutes=10)


async def test_what_would_be_later_than_catch_up_allows_is_passed_over(scheduled: Scheduled) -> None:
    scheduled.declare(replace(HOURLY, catch_up=timedelta(minutes=10)))
    await scheduled.at(START)
    assert await scheduled.at(START + 41 * MINUTE) == []
    standing = await scheduled.standing()
    assert (standing.passed, "catch_up" in standing.passed_because) == (1, True)
    assert len(await scheduled.at(START + 99 * MINUTE)) == 1


async def test_a_catch_up_of_nothing_still_allows_what_is_on_time(scheduled: Scheduled) -> None:
    scheduled.declare(replace(HOURLY, catch_up=timedelta(0)))
    await scheduled.at(START)
    assert len(await scheduled.at(START + 30 * MINUTE + timedelta(seconds=5))) == 1


async def test_two_keepers_and_restarts_start_one(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    others = [scheduled.another() for _ in range(3)]
    scheduled.desk.clock.set_now(START + 30 * MINUTE)
    # All of them have looked before any of them acts.
    entry = scheduled.desk.timetable.entries()[0]
    now = scheduled.desk.clock.now()
    for book in (scheduled.book, *others):
        await book.keeper._fire(entry, fire_of(await scheduled.standing(), now), now)
    assert len(await scheduled.tasks()) == 1
    for book in others:
        await book.keeper.step()
    assert len(await scheduled.tasks()) == 1


def fire_of(standing: Standing, now: datetime) -> Any:
    """The decision as one would have taken it that looked before any other acted."""
    first = replace(standing, after=START)
    return decide(first, HOURLY, Former.OVER, paused=False, now=now)


async def test_the_task_and_its_record_are_durable_together_or_not_at_all(
    scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scheduled.at(START)
    before = await scheduled.standing()

    class Broken(Exception):
        pass

    write = scheduled.desk.store.write

    async def cut(work: Any) -> Any:
        def to_the_last_moment(tx: StoreTransaction) -> None:
            work(tx)
            raise Broken

        return await write(to_the_last_moment)

    monkeypatch.setattr(scheduled.desk.store, "write", cut)
    with pytest.raises(Broken):
        await scheduled.at(START + 30 * MINUTE)
    monkeypatch.undo()
    assert (await scheduled.tasks(), await scheduled.standing()) == ([], before)
    assert len(await scheduled.at(START + 31 * MINUTE)) == 1


@pytest.mark.parametrize("back", [10 * MINUTE, 5 * HOUR, 23 * HOUR])
async def test_a_clock_that_is_set_back_or_forth_fires_nothing_twice(scheduled: Scheduled, back: timedelta) -> None:
    await scheduled.at(START)
    for hours in (1, 2, 3):
        tasks = await scheduled.at(START + hours * HOUR)
        await scheduled.desk.end(tasks[-1])
    for minutes in range(0, int(back / MINUTE), 10):
        assert len(await scheduled.at(START + 3 * HOUR - back + minutes * MINUTE)) == 3
    assert len(await scheduled.at(START + 4 * HOUR)) == 4


async def test_a_clock_that_was_years_ahead_does_not_silence_a_schedule(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    [task] = await scheduled.at(START + timedelta(days=900))
    await scheduled.desk.end(task)
    assert len(await scheduled.at(START + HOUR)) == 1
    assert len(await scheduled.at(START + 2 * HOUR)) == 2


@pytest.mark.parametrize(
    ("overlap", "waiting", "running", "ended"),
    [(Overlap.SKIP, 1, 1, 1), (Overlap.QUEUE, 1, 1, 2), (Overlap.ALLOW, 1, 2, 2)],
)
async def test_what_happens_while_the_run_before_is_not_over(
    scheduled: Scheduled, overlap: Overlap, waiting: int, running: int, ended: int
) -> None:
    scheduled.declare(replace(HOURLY, overlap=overlap))
    await scheduled.at(START)
    [first] = await scheduled.at(START + 30 * MINUTE)
    # Nobody starts it: however many due times come, none is added to it.
    for hours in (1, 2, 3):
        assert len(await scheduled.at(START + hours * HOUR + 30 * MINUTE)) == waiting
    await scheduled.desk.run(first)
    assert len(await scheduled.at(START + 4 * HOUR + 30 * MINUTE)) == running
    await scheduled.desk.end(first)
    assert len(await scheduled.at(START + 4 * HOUR + 40 * MINUTE)) == ended
    standing = await scheduled.standing()
    if overlap is Overlap.SKIP:
        assert (standing.passed, standing.passed_because) == (4, f"task {first.id} of the time before ran still")


async def test_what_waits_for_a_decision_stands_in_nobodys_way(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    [first] = await scheduled.at(START + HOUR)
    await scheduled.desk.undecided(first)
    assert len(await scheduled.at(START + 2 * HOUR)) == 2


async def test_a_changed_expression_begins_anew(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    scheduled.declare(Schedule(cron="*/5 * * * *", written="*/5 * * * *"))
    assert await scheduled.at(START + 2 * HOUR) == []
    assert len(await scheduled.at(START + 2 * HOUR + 5 * MINUTE)) == 1


async def test_a_schedule_that_was_taken_away_for_a_while_makes_nothing_up(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    scheduled.declare(None)
    await scheduled.at(START + MINUTE)
    scheduled.declare()
    assert await scheduled.at(START + 10 * HOUR) == []


async def test_a_manifest_that_cannot_be_read_for_a_while_loses_nothing(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    scheduled.declare(None, faults=("schedule is wrong.",), script="")
    await scheduled.at(START + MINUTE)
    scheduled.declare()
    assert len(await scheduled.at(START + 10 * HOUR)) == 1
    assert (await scheduled.standing()).missed == 9


BERLIN = Schedule(cron="30 2 * * *", written="30 2 * * *", timezone="Europe/Berlin")
EVERY_HALF_HOUR = Schedule(cron="*/30 2 * * *", written="*/30 2 * * *", timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("schedule", "midnight", "started"),
    [
        # 28 March 2027: 02:00 is followed by 03:00, which is 01:00 in UTC. 31 October: 02:30 comes at 00:30 and 01:30.
        (BERLIN, datetime(2027, 3, 27, 23, 0, tzinfo=UTC), ["28 01:00", "29 00:30"]),
        (BERLIN, datetime(2027, 10, 30, 22, 0, tzinfo=UTC), ["31 00:30", "01 01:30"]),
        (EVERY_HALF_HOUR, datetime(2027, 3, 27, 23, 0, tzinfo=UTC), ["29 00:00", "29 00:30"]),
        (
            EVERY_HALF_HOUR,
            datetime(2027, 10, 30, 22, 0, tzinfo=UTC),
            ["31 00:00", "31 00:30", "31 01:00", "31 01:30", "01 01:00", "01 01:30"],
        ),
    ],
)
async def test_over_both_changes_of_berlins_clocks_each_run_starts_once(
    scheduled: Scheduled, schedule: Schedule, midnight: datetime, started: list[str]
) -> None:
    scheduled.declare(replace(schedule, overlap=Overlap.ALLOW))
    tasks: list[Task] = []
    for number in range(2 * 24 * 6 + 6):
        tasks = await scheduled.at(midnight + number * 10 * MINUTE)
        if tasks and not tasks[-1].ended:
            await scheduled.desk.end(tasks[-1])
    assert [f"{task.created_at:%d %H:%M}" for task in tasks] == started


async def test_two_coordinators_on_one_database_start_one_task_for_each_hour(tmp_path: Path) -> None:
    """Each with a store of its own on the same file, at the same moments."""
    stores = [SqliteStore.open(tmp_path / "coordinator.db", key=KEY) for _ in range(2)]
    both = [Scheduled(store) for store in stores]
    wins = [0, 0]
    for hours in range(40):
        for one in both:
            one.declare(replace(HOURLY, overlap=Overlap.ALLOW))
            one.desk.clock.set_now(START + hours * HOUR)
        await asyncio.gather(*(one.book.keeper.step() for one in both))
        wins = [won + len(one.desk.announced) for won, one in zip(wins, both, strict=True)]
        for task in [task for task in await both[0].tasks() if not task.ended]:
            await both[0].desk.end(task)
        for one in both:
            one.desk.announced.clear()
    tasks = await both[1].tasks()
    print(f"40 looks at 39 hours, by two coordinators: {wins} started by each")
    assert len(tasks) == len({task.created_at for task in tasks}) == sum(wins) == 39
    for store in stores:
        await store.close()


async def test_a_time_that_comes_once_more_days_later_has_its_task_already(scheduled: Scheduled) -> None:
    """The clock was right, went ahead for two days, and was put right: the key still stands for what it stood for."""
    await scheduled.at(START)
    [task] = await scheduled.at(START + HOUR)
    await scheduled.desk.end(task)
    [_, ahead] = await scheduled.at(START + timedelta(days=2))
    await scheduled.desk.end(ahead)
    await scheduled.at(START)
    assert len(await scheduled.at(START + HOUR)) == 2
    assert len(await scheduled.at(START + 2 * HOUR)) == 3
