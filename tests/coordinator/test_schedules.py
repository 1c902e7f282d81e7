"""Schedules start what is due, once: over restarts, several keepers, sleep, a clock that is set, and what is open."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from foundation.auth import calling_as
from foundation.errors import Conflict, NotFound
from services.coordinator.app.schedule_book import ScheduleBook
from services.coordinator.app.schedules import PAUSE_SECONDS_MAX
from services.coordinator.app.schedules_shown import Reason, ScheduleView
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.fleet import FleetView, Parked
from services.coordinator.domain.schedule import Former, Overlap, Schedule, ScheduleKey, Standing, decide
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Store, StoreTransaction, TaskFilter
from tests.coordinator.desk import USER, Desk

HOURLY = Schedule(cron="0 * * * *", written="@hourly")
START = datetime(2027, 1, 1, 0, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Scheduled:
    """A desk with an agent `tick` that has a schedule, and the book of schedules."""

    def __init__(self, store: Store) -> None:
        self.desk = Desk(store, open_tasks_max=5)
        self.desk.clock.set_now(START)
        self.declare()
        self.book = self.another()

    def declare(self, schedule: Schedule | None = HOURLY, **changes: Any) -> None:
        spec = replace(AgentSpec(name="tick", script="/a/tick.sh", schedule=schedule), **changes)
        self.desk.catalogue.specs["tick"] = spec

    def another(self) -> ScheduleBook:
        """One that remembers nothing, as after a restart or in a second coordinator."""
        desk = self.desk
        return ScheduleBook(desk.store, desk.timetable, desk.submit, desk.explain, desk.dispatch, clock=desk.clock)

    async def at(self, moment: datetime) -> list[Task]:
        """Set the clock, look once, and return all of the agent's tasks, oldest first."""
        self.desk.clock.set_now(moment)
        await self.book.keeper.step()
        return await self.tasks()

    async def tasks(self) -> list[Task]:
        tasks = await self.desk.store.read(lambda tx: tx.matching(TaskFilter(agent="tick"), after_id="", limit=1000))
        return sorted(tasks, key=lambda task: (task.created_at, task.id))

    async def standing(self, project: str = "") -> Standing:
        found = await self.desk.store.read(lambda tx: tx.schedule(ScheduleKey("tick", project)))
        assert found is not None
        return found

    async def shown(self, name: str = "tick") -> tuple[ScheduleView, Reason]:
        views, reasons = await self.book.show.why(name)
        return views[0], reasons[0]


@pytest.fixture
def scheduled(store: Store) -> Scheduled:
    return Scheduled(store)


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


async def test_while_paused_nothing_starts_and_nothing_is_made_up(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    with calling_as(USER):
        assert await scheduled.book.acts.pause("tick", "quiet")
        assert not await scheduled.book.acts.pause("tick", "again")
    assert await scheduled.at(START + 5 * HOUR) == []
    view, reason = await scheduled.shown()
    assert (view.pause.by, view.pause.reason, list(view.next_runs)) == ("user", "quiet", [])
    assert (reason.code, reason.remedy) == ("paused", "quantum schedule resume tick")
    scheduled.desk.clock.set_now(START + 7 * HOUR)  # the coordinator was away meanwhile
    with calling_as(USER):
        assert await scheduled.book.acts.resume("tick")
        assert not await scheduled.book.acts.resume("tick")
    assert await scheduled.at(START + 7 * HOUR) == []
    assert len(await scheduled.at(START + 7 * HOUR + 30 * MINUTE)) == 1
    acts = await scheduled.desk.store.read(lambda tx: tx.acts(limit=10))
    assert [(act.act, act.target, act.actor) for act in acts] == [
        ("schedule_pause", "schedule:tick", "user"),
        ("schedule_resume", "schedule:tick", "user"),
    ]


async def test_one_that_rests_by_its_manifest_starts_once_a_person_resumes_it(scheduled: Scheduled) -> None:
    scheduled.declare(replace(HOURLY, paused=True))
    await scheduled.at(START)
    assert await scheduled.at(START + HOUR) == []
    assert (await scheduled.shown())[1].sentence.startswith("Its manifest says that it rests")
    with calling_as(USER):
        assert await scheduled.book.acts.resume("tick")
    assert len(await scheduled.at(START + 2 * HOUR)) == 1
    with calling_as(USER):
        assert await scheduled.book.acts.pause("tick", "")
    assert len(await scheduled.at(START + 3 * HOUR)) == 1


async def test_projects_have_a_schedule_each_and_are_paused_alone_or_as_a_whole(scheduled: Scheduled) -> None:
    scheduled.declare(replace(HOURLY, projects=("git",), params='{"deep": true}'))
    await scheduled.at(START)
    [task] = await scheduled.at(START + HOUR)
    assert (task.project, task.params) == ("HabitQuest", '{"deep": true}')
    await scheduled.desk.end(task)
    acts = scheduled.book.acts
    with calling_as(USER):
        assert await acts.pause("tick@HabitQuest", "")
        assert await acts.resume("tick@HabitQuest")
        assert await acts.pause("tick", "all")
        with pytest.raises(Conflict, match="rest since"):
            await acts.resume("tick@HabitQuest")
    assert len(await scheduled.at(START + 2 * HOUR)) == 1
    with calling_as(USER):
        assert await acts.resume("tick")
    assert len(await scheduled.at(START + 3 * HOUR)) == 2
    with pytest.raises(NotFound, match=r"There is no schedule “tick@Other”\. Those of tick: tick@HabitQuest"):
        await acts.pause("tick@Other", "")


async def test_for_no_project_there_is_nothing_to_start_and_it_says_so(scheduled: Scheduled) -> None:
    scheduled.declare(replace(HOURLY, projects=("git",)))
    scheduled.desk.catalogue.repositories = lambda: {"HabitQuest": False}  # type: ignore[method-assign]
    assert await scheduled.at(START + HOUR) == []
    views, [reason] = await scheduled.book.show.why("tick")
    assert (views, reason.code) == ([], "no_project")
    with calling_as(USER), pytest.raises(NotFound, match="there is none that it means"):
        await scheduled.book.acts.run("tick", "k", USER)


async def test_a_run_by_hand_changes_no_due_time_and_is_never_a_second(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    [task] = await scheduled.book.acts.run("tick", "k1", USER)
    assert [one.id for one in await scheduled.book.acts.run("tick", "k1", USER)] == [task.id]
    assert task.submitted_by == "user"
    with pytest.raises(Conflict, match=f"Task {task.id}, which schedule tick started before, is queued still"):
        await scheduled.book.acts.run("tick", "k2", USER)
    assert len(await scheduled.at(START + HOUR)) == 1  # passed over: that one is open
    await scheduled.desk.end(task)
    assert len(await scheduled.at(START + 2 * HOUR)) == 2


async def test_a_full_queue_holds_what_is_due_and_it_starts_when_there_is_room(scheduled: Scheduled) -> None:
    others = [(await scheduled.desk.add())[0] for _ in range(5)]
    await scheduled.at(START)
    assert await scheduled.at(START + 30 * MINUTE) == []
    view, reason = await scheduled.shown()
    assert (reason.code, "the cap is 5" in view.problem) == ("not_started", True)
    await scheduled.desk.end(others[0])
    assert len(await scheduled.at(START + 32 * MINUTE)) == 1
    assert (await scheduled.standing()).late == 2 * MINUTE
    assert (await scheduled.shown())[0].problem == ""


async def test_why_names_the_one_reason(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    view, reason = await scheduled.shown()
    assert (reason.code, reason.until) == ("not_due", START + 30 * MINUTE)
    assert [at.hour for at in view.next_runs] == [1, 2, 3, 4, 5]
    scheduled.desk.dispatch.view = FleetView(
        stopped=Parked(scope="fleet", code="mode", reason="Everything is stopped.", until=None)
    )
    assert "will be queued then, and wait: Everything is stopped." in (await scheduled.shown())[1].sentence
    [task] = await scheduled.at(START + 30 * MINUTE)
    _, reason = await scheduled.shown()
    assert (reason.code, task.id in reason.sentence) == ("still_open", True)
    assert "due times are passed over until it is over" in reason.sentence
    scheduled.declare(faults=("timeout is none.",), script="")
    assert (await scheduled.shown())[1].code == "agent_invalid"
    with pytest.raises(NotFound, match="has no schedule"):
        await scheduled.book.show.why("hello")


async def test_agents_show_the_schedule_and_the_next_time(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    view = await scheduled.desk.agents.get("tick")
    assert view.next_run_at == START + 30 * MINUTE
    with calling_as(USER):
        await scheduled.book.acts.pause("tick", "")
    assert (await scheduled.desk.agents.get("tick")).next_run_at is None
