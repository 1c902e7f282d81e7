"""What runs by itself: it goes on after a failure, sleeps until it is needed, and wakes when it is."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from foundation.clock import SystemClock
from foundation.errors import Unavailable
from services.coordinator.adapters.catalogue_files import FileCatalogue
from services.coordinator.app.due import Due
from services.coordinator.app.retention import Retention, RetentionRules
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from services.coordinator.loops import DueLoop, every, scan
from tests.coordinator.desk import KEYS_GOOD_FOR, Desk


async def test_a_loop_goes_on_after_an_error_of_ours_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0
    again = asyncio.Event()

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Unavailable("away", "It is away.")
        again.set()

    loop = asyncio.create_task(every(0, work, name="test"))
    await again.wait()
    loop.cancel()
    assert "It is away." in caplog.text


async def test_a_loop_ends_by_a_fault_that_is_not_ours_to_expect() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await every(0, work, name="test")


async def test_what_is_scheduled_later_but_due_earlier_wakes_the_sleeper(desk: Desk) -> None:
    clock = SystemClock()
    loop = DueLoop(Due(desk.store, desk.changes, clock=clock), desk.changes, clock=clock)
    far = clock.now() + timedelta(days=1)
    [_] = await desk.add(TaskRequest(agent="hello", not_before=far))
    sleeping = asyncio.create_task(loop.step())
    await asyncio.sleep(0)
    # The desk's own clock is years behind, so that this is scheduled there and due here.
    [due] = await desk.add(TaskRequest(agent="hello", not_before=clock.now() - timedelta(seconds=1)))
    assert due.state is TaskState.SCHEDULED
    await sleeping
    await asyncio.wait_for(asyncio.shield(asyncio.create_task(loop._due.release())), 60)
    assert (await desk.task(due)).state is TaskState.QUEUED


async def test_ended_tasks_go_when_their_time_is_over(desk: Desk) -> None:
    rules = RetentionRules(
        ended=timedelta(days=1), undecided=timedelta(days=3), keys=KEYS_GOOD_FOR, rows_max=100, bytes_max=1 << 30
    )
    retention = Retention(desk.store, rules, clock=desk.clock)
    ended, undecided, still = await desk.add(*[TaskRequest(agent="hello")] * 3)
    await desk.end(ended)
    await desk.undecided(undecided)
    assert await retention.prune() == 0
    desk.clock.advance(timedelta(days=2))
    assert await retention.prune() == 1
    assert await desk.store.read(lambda tx: tx.task(ended.id)) is None
    await desk.task(undecided)
    desk.clock.advance(timedelta(days=2))
    assert await retention.prune() == 1
    await desk.task(still)


async def test_a_scan_tells_only_of_changes(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    catalogue = FileCatalogue(tmp_path / "agents", tmp_path / "projects.toml", tmp_path / "none")
    told: list[int] = []
    await scan(catalogue, lambda: told.append(1))
    assert told == []
    (tmp_path / "agents" / "a.sh").write_text("#!/bin/sh\n")
    await scan(catalogue, lambda: told.append(1))
    assert told == [1]
