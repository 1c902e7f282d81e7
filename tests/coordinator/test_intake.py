"""Ends gather for a commit while more are to come."""

import asyncio
from pathlib import Path

import pytest

from services.coordinator.app import intake
from services.coordinator.app.attachments import Ack
from services.coordinator.domain.failure import EndCause
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import Store
from tests.coordinator.fleet import Fleet, ended, granted, sent, started

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
    async with asyncio.timeout(30):
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
