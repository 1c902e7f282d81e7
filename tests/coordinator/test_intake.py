"""Ends gather for a commit while more are to come."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from foundation.errors import Exhausted
from protos.coordinator.v1 import runners_pb2 as pb
from services.coordinator.app import intake
from services.coordinator.app.alerts import WAITING
from services.coordinator.app.attachments import Ack, Attachment
from services.coordinator.convert_runner import events_from
from services.coordinator.domain import failure
from services.coordinator.domain import task as moves
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.attempt import Returned
from services.coordinator.domain.failure import EndCause
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Store
from tests.coordinator.fleet import Fleet, ended, granted, sent, started
from tests.coordinator.stores import opened

pytestmark = pytest.mark.asyncio


async def test_ends_gather_while_more_are_to_come_and_the_last_waits_for_nobody(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GATHER_SECONDS", 3600)
    for _ in range(9):
        await fleet.submit("a")
    runner = await fleet.runner(capacity=9)
    await fleet.round()
    ends = [ended(task, fleet.now(), cause=EndCause.CANCEL) for task in granted(sent(runner))]
    commits: asyncio.Queue[int] = asyncio.Queue()
    fleet.changes.subscribe(lambda tasks: commits.put_nowait(len(tasks)))
    running = asyncio.create_task(fleet.intake.run())
    async with asyncio.timeout(60):
        fleet.intake.put(runner, ends[:5])
        assert await commits.get() == 5
        fleet.intake.put(runner, ends[5:7])
        for _ in range(50):
            await asyncio.sleep(0)
        assert commits.empty()
        fleet.intake.put(runner, ends[7:])
        assert await commits.get() == 4
    running.cancel()


async def test_nobody_reports_the_end_of_what_another_runner_holds(fleet: Fleet) -> None:
    task = await fleet.submit("a")
    holder = await fleet.runner("one")
    await fleet.round()
    [leased] = granted(sent(holder))
    liar = await fleet.runner("two")
    lie = ended(leased, fleet.now(), report='{"type": "t", "summary": "forged"}')
    fleet.intake.put(liar, [lie])
    await fleet.tell(liar, started(leased, fleet.now()), lie)
    untouched = await fleet.task(task)
    assert (untouched.state, untouched.holder) == (TaskState.QUEUED, "one")
    assert fleet.holdings.load_of("one").tasks == 1, "it still takes its room there"
    assert [message for message in sent(liar) if isinstance(message, Ack)] == [Ack(task.id, leased.fence, False)]
    await fleet.tell(holder, started(leased, fleet.now()), ended(leased, fleet.now()))
    assert (await fleet.task(task)).state is TaskState.SUCCEEDED


@pytest.mark.parametrize(
    ("report", "summary"),
    [
        (r'{"type": "t", "summary": "\udcff.sh is long", "data": {"a": "\uD800"}}', "?.sh is long"),
        (r'{"type": "t", "project": "\ud800", "summary": "x"}', "x"),
        (r'{"type": "t", "summary": "\ud83d\ude00"}', "\N{GRINNING FACE}"),
        ('{"type": "t", "data": {"a": ' + "[" * 5000 + "]" * 5000 + "}}", None),
    ],
)
async def test_no_report_of_a_script_ends_the_settling(
    store: Store, tmp_path: Path, report: str, summary: str | None
) -> None:
    fleet = Fleet(tmp_path, store)
    await fleet.dispatch.start()
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now(), report=report))
    assert (await fleet.task(task)).state is TaskState.SUCCEEDED
    assert sent(runner) == [Ack(task.id, lease.fence, True)]
    reports = await store.read(lambda tx: tx.reports(type="t", project=""))
    assert [each.summary for each in reports] == ([] if summary is None else [summary])


# -- a fault of ours in one event


async def _leased(fleet: Fleet, runner: Attachment, *agents: str) -> list[Task]:
    """One started attempt of each agent."""
    for agent in agents:
        await fleet.submit(agent)
    await fleet.round()
    tasks = granted(sent(runner))
    await fleet.tell(runner, *(started(task, fleet.now()) for task in tasks))
    return tasks


def _break(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, agent: str, *, tries: list[str], fault: Exception | None = None
) -> None:
    """Have the settling of this agent's ends fail, unless said otherwise as no one has foreseen."""
    settle: Callable[..., Task] = failure.settle

    def broken(task: Task, *rest: Any, **more: Any) -> Task:
        if task.agent == agent:
            tries.append(task.id)
            raise fault or ZeroDivisionError("division by zero")
        return settle(task, *rest, **more)

    monkeypatch.setattr(failure, "settle", broken)


async def _alerts(fleet: Fleet) -> list[list[str]]:
    """What people are to be told."""
    waiting = await fleet.store.read(lambda tx: tx.fact(WAITING))
    found: list[list[str]] = json.loads(waiting or "[]")
    return found


async def test_an_end_that_nobody_foresaw_harms_itself_alone_and_waits_for_a_person(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = Fleet(tmp_path, store)
    await fleet.dispatch.start()
    runner = await fleet.runner()
    tasks = await _leased(fleet, runner, "a", "b", "c", "a", "a")
    tries: list[str] = []
    _break(fleet, monkeypatch, "b", tries=tries)
    await fleet.tell(runner, *(ended(task, fleet.now()) for task in tasks))
    states = {task.agent: (await fleet.task(task)).state for task in tasks}
    assert states == {"a": TaskState.SUCCEEDED, "b": TaskState.NEEDS_DECISION, "c": TaskState.SUCCEEDED}
    acks = [message for message in sent(runner) if isinstance(message, Ack)]
    assert {ack.task_id for ack in acks} == {task.id for task in tasks}, "its runner need not tell it again"
    assert all(ack.accepted for ack in acks)
    assert not fleet.holdings.all(), "nothing is held for it any more"
    bad = await fleet.task(tasks[1])
    assert bad.reason == "Its attempt has ended, and how could not be recorded (ZeroDivisionError: division by zero)."
    posted = await store.read(lambda tx: tx.outbox(limit=100))
    told = next(entry for entry in posted if entry.task_id == bad.id)
    assert (told.failure_class, told.counted) == ("infrastructure", False), "no breaker counts it as the agent's"
    alerts = await _alerts(fleet)
    assert [alert[:2] for alert in alerts] == [["not_recorded", "critical"]]
    assert bad.id in alerts[0][2]
    assert sum(record.exc_info is not None for record in caplog.records) >= 1, "with its traceback in the log"
    print(f"the fault was met {len(tries)} times among {len(tasks)} ends")


async def test_control_without_taking_the_batch_apart_one_bad_end_ends_the_loop(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = await fleet.runner()
    tasks = await _leased(fleet, runner, "a", "b")
    _break(fleet, monkeypatch, "b", tries=[])

    async def give_up(_: object, fault: Exception, **_more: object) -> None:
        raise fault

    monkeypatch.setattr(fleet.intake, "_take_apart", give_up)
    fleet.intake.put(runner, [ended(task, fleet.now()) for task in tasks])
    with pytest.raises(ZeroDivisionError):
        await fleet.intake.run()
    assert (await fleet.task(tasks[0])).state is TaskState.RUNNING, "and the good one is not recorded either"


async def test_what_cannot_be_dealt_with_at_all_is_told_again_and_keeps_nobody_waiting(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = await fleet.runner()
    good, bad = await _leased(fleet, runner, "a", "b")
    _break(fleet, monkeypatch, "b", tries=[])

    def broken(*_: object, **__: object) -> Task:
        raise RuntimeError("this, too")

    monkeypatch.setattr(failure, "leave_unrecorded", broken)
    await fleet.tell(runner, ended(bad, fleet.now()), ended(good, fleet.now()))
    assert [message.task_id for message in sent(runner) if isinstance(message, Ack)] == [good.id]
    assert (await fleet.task(bad)).state is TaskState.RUNNING
    assert [alert[0] for alert in await _alerts(fleet)] == ["not_recorded"]
    monkeypatch.undo()
    await fleet.tell(runner, ended(bad, fleet.now()))
    assert (await fleet.task(bad)).state is TaskState.SUCCEEDED, "nothing was lost by it"


async def test_an_event_that_fails_once_is_tried_again_before_anything_takes_its_place(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = await fleet.runner()
    [task] = await _leased(fleet, runner, "a")
    write, tries = fleet.store.write, []

    async def once_broken(work: Callable[..., Any]) -> Any:
        tries.append(work)
        if len(tries) == 1:
            raise RuntimeError("it passes")
        return await write(work)

    monkeypatch.setattr(fleet.store, "write", once_broken)
    await fleet.tell(runner, ended(task, fleet.now()))
    assert (await fleet.task(task)).state is TaskState.SUCCEEDED
    assert sent(runner) == [Ack(task.id, task.fence, True)]
    assert not await _alerts(fleet) and len(tries) == 2


async def test_a_machine_that_has_nothing_to_spare_takes_no_result_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened("sqlite", tmp_path) as store:
        fleet = Fleet(tmp_path, store)
        await fleet.dispatch.start()
        runner = await fleet.runner()
        [task] = await _leased(fleet, runner, "a")
        tries: list[str] = []
        for fault in (OSError(24, "Too many open files"), MemoryError(), apsw.CantOpenError("unable to open")):
            _break(fleet, monkeypatch, "a", tries=tries, fault=fault)
            await fleet.tell(runner, ended(task, fleet.now()))
            monkeypatch.undo()
            assert not sent(runner), "unanswered, its runner tells it again"
            assert (await fleet.task(task)).state is TaskState.RUNNING
        assert len(tries) == 3 and not await _alerts(fleet)
        await fleet.tell(runner, ended(task, fleet.now()))
        assert (await fleet.task(task)).state is TaskState.SUCCEEDED


async def test_no_event_ends_the_loop_also_when_not_even_that_can_be_written(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runner = await fleet.runner()
    [task] = await _leased(fleet, runner, "a")

    async def broken(_: object) -> None:
        raise RuntimeError("no write goes well")

    monkeypatch.setattr(fleet.store, "write", broken)
    await fleet.tell(runner, ended(task, fleet.now()))
    assert "People are not told of it" in caplog.text
    assert not sent(runner), "it stays unanswered"
    monkeypatch.undo()
    await fleet.tell(runner, ended(task, fleet.now()))
    assert (await fleet.task(task)).state is TaskState.SUCCEEDED


async def test_a_lease_that_came_back_is_queued_again_though_why_cannot_be_recorded(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [leased] = granted(sent(runner))
    back: Callable[..., Task] = moves.hand_back

    def broken(task: Task, fence: int, *, reason: str, now: datetime) -> Task:
        if reason == "odd":
            raise ZeroDivisionError("division by zero")
        return back(task, fence, reason=reason, now=now)

    monkeypatch.setattr(moves, "hand_back", broken)
    await fleet.tell(runner, Returned(leased.id, leased.fence, "odd"))
    after = await fleet.task(task)
    assert (after.state, after.holder) == (TaskState.QUEUED, ""), "it waits for no lease to run out"
    assert "ZeroDivisionError" in after.reason
    [alert] = await _alerts(fleet)
    assert alert[2].endswith("; it was handed back, and is queued again.")


async def test_a_store_that_is_full_is_waited_for_and_nothing_is_given_up(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = await fleet.runner()
    [task] = await _leased(fleet, runner, "a")

    async def full(_: object) -> None:
        raise Exhausted("disk_full", "The disk is full; nothing was stored.")

    monkeypatch.setattr(fleet.store, "write", full)
    await fleet.tell(runner, ended(task, fleet.now()))
    monkeypatch.undo()
    assert not sent(runner)
    assert (await fleet.task(task)).state is TaskState.RUNNING


async def test_a_result_with_a_time_that_cannot_be_is_concluded_and_the_stream_goes_on(fleet: Fleet) -> None:
    runner = await fleet.runner()
    good, bad, odd = await _leased(fleet, runner, "a", "b", "c")
    message = pb.AttemptEvents()
    for task, finished, cause in ((good, 1, 1), (bad, 1 << 62, 1), (odd, 1, 0)):
        event = message.events.add(attempt=pb.AttemptRef(task_id=task.id, fence=task.fence))
        event.result.MergeFrom(
            pb.Result(cause=pb.EndCause.Name(cause), exit_code=0, finished_at_us=finished, tree_dead=True)
        )
    message.events.add(attempt=pb.AttemptRef(task_id=good.id, fence=good.fence))
    events = events_from(message)
    assert [type(event).__name__ for event in events] == ["Ended", "Unrecorded", "Unrecorded", "Unrecorded"]
    await fleet.tell(runner, *events)
    assert (await fleet.task(good)).state is TaskState.SUCCEEDED
    for task in (bad, odd):
        assert (await fleet.task(task)).state is TaskState.NEEDS_DECISION
    assert {ack.task_id for ack in sent(runner) if isinstance(ack, Ack)} == {good.id, bad.id, odd.id}


async def test_a_merge_check_whose_end_cannot_be_recorded_is_over(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.catalogue.specs["merge-check"] = AgentSpec(name="merge-check", script="/m.py", builtin="merge-check.py")
    runner = await fleet.runner(checks_max=2)
    [task] = await _leased(fleet, runner, "merge-check")
    _break(fleet, monkeypatch, "merge-check", tries=[])
    await fleet.tell(runner, ended(task, fleet.now()))
    assert (await fleet.task(task)).state is TaskState.FAILED, "the sweep tells whoever waits"
