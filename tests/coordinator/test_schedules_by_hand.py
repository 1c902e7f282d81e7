"""Schedules as people see and hold them: pause, resume, run, why."""

from dataclasses import replace

import pytest

from foundation.auth import calling_as
from foundation.errors import Conflict, Exhausted, NotFound
from services.coordinator.domain.fleet import FleetView, Parked
from tests.coordinator.desk import USER
from tests.coordinator.scheduling import HOUR, HOURLY, MINUTE, START, Scheduled


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


async def test_what_a_short_disk_refuses_stays_due_and_starts_once(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    scheduled.refusal = Exhausted("disk_low", "No task is taken: 1.0MB are free.")
    for hours in range(5):
        assert await scheduled.at(START + 30 * MINUTE + hours * HOUR) == []
        assert (await scheduled.standing()).after == START
    view, reason = await scheduled.shown()
    assert (reason.code, "1.0MB are free" in view.problem) == ("not_started", True)
    await scheduled.another().keeper.step()  # a restart meanwhile loses nothing
    scheduled.refusal = None
    [task] = await scheduled.at(START + 5 * HOUR)
    standing = await scheduled.standing()
    assert (standing.last_due, standing.missed) == (START + 4 * HOUR + 30 * MINUTE, 4)
    await scheduled.desk.end(task)
    assert len(await scheduled.at(START + 5 * HOUR + MINUTE)) == 1


async def test_three_days_of_standing_still_leave_one_run(scheduled: Scheduled) -> None:
    await scheduled.at(START)
    scheduled.desk.dispatch.view = FleetView(
        stopped=Parked(scope="fleet", code="mode", reason="Everything is stopped.", until=None)
    )
    for hours in range(72):
        assert len(await scheduled.at(START + 30 * MINUTE + hours * HOUR)) == 1
    assert (await scheduled.standing()).passed == 71
    scheduled.desk.dispatch.view = FleetView()
    [task] = await scheduled.at(START + 72 * HOUR)
    await scheduled.desk.end(task)
    assert len(await scheduled.at(START + 72 * HOUR + 30 * MINUTE)) == 2
    assert (await scheduled.standing()).missed == 0


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
