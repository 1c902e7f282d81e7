"""A short disk takes no new task and ends every old one; it heals by itself, and people hear of it once."""

from pathlib import Path

import pytest

from foundation.disk import DiskRoom, FakeDisk, Reserve
from foundation.errors import Exhausted
from services.coordinator.app.disk_guard import DiskGuard
from services.coordinator.app.selection import Selection
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import Store
from tests.coordinator.desk import USER, Desk
from tests.coordinator.test_alerts import PlayedBell

MB = 1 << 20
LEAST = 100 * MB


def _guard(disk: FakeDisk, bell: PlayedBell, folder: Path, reserve: int = 0) -> DiskGuard:
    return DiskGuard(disk, LEAST, Reserve(folder / "reserve", reserve), bell)


async def test_what_adds_tasks_is_refused_and_what_ends_them_is_not(store: Store, tmp_path: Path) -> None:
    disk, bell = FakeDisk(1 << 40), PlayedBell()
    guard = _guard(disk, bell, tmp_path)
    desk = Desk(store, refuse=guard.refuse_when_short)
    await guard.step()
    known = await desk.submit([TaskRequest(agent="build")], "key", USER)
    [ends, runs, waits, failed] = [(await desk.add())[0] for _ in range(4)]
    await desk.run(runs)
    await desk.end(failed, TaskState.FAILED)
    await desk.cancel(Selection(ids=(known.tasks[0].id,)), "")
    cleared = await desk.clear("build", "", USER, dry_run=False)
    disk.free = LEAST - 1
    await guard.step()
    refused = []
    for add in (
        lambda: desk.submit([TaskRequest(agent="build")], "", USER),
        lambda: desk.retry(Selection(ids=(failed.id,)), "", USER),
        lambda: desk.undo(cleared.clearing_id, USER),
    ):
        with pytest.raises(Exhausted) as caught:
            await add()
        refused.append(caught.value.code)
        assert "quantum rotate logs" in caught.value.remedy and caught.value.retry_after is not None
    assert refused == ["disk_low"] * 3
    assert (await desk.submit([TaskRequest(agent="build")], "key", USER)).replayed, "what was accepted stays accepted"
    assert (await desk.end(runs)).state is TaskState.SUCCEEDED
    assert (await desk.task(ends)).state is (await desk.task(waits)).state is TaskState.CANCELLED


async def test_it_heals_by_itself_and_people_hear_of_each_change_once(tmp_path: Path) -> None:
    disk, bell = FakeDisk(1 << 40), PlayedBell()
    guard = _guard(disk, bell, tmp_path)
    told = []
    for free in (200, 99, 50, 101, 120, 99, 124, 125, 101, 99):
        disk.free = free * MB
        await guard.step()
        told.append(guard.room.short)
    assert told == [False, True, True, True, True, True, True, False, False, True]
    assert [alert.cause for alert in bell.heard] == ["disk_low", "disk_low"]
    assert bell.over == ["disk_low", "disk_low"], "at the start, for an earlier coordinator, and when it healed"
    assert "99MB free" in bell.heard[0].sentence


async def test_what_safety_has_not_heard_is_told_again(tmp_path: Path) -> None:
    disk, bell = FakeDisk(1), PlayedBell()
    guard, bell.away = _guard(disk, bell, tmp_path), True
    await guard.step()
    bell.away = False
    await guard.step()
    await guard.step()
    assert len(bell.heard) == 1


async def test_the_reserve_is_given_up_when_there_is_no_room_and_comes_back(tmp_path: Path) -> None:
    disk, reserve = FakeDisk(1 << 40), tmp_path / "reserve"
    guard = _guard(disk, PlayedBell(), tmp_path, reserve=2 * MB)
    there = []
    for free in (500, 99, 3, 1, 0, 3, 99, 500):
        disk.free = free * MB
        await guard.step()
        there.append(reserve.exists() and reserve.stat().st_blocks * 512 >= 2 * MB)
    assert there == [True, True, True, False, False, False, False, True]


def test_no_least_is_never_short() -> None:
    assert not DiskRoom(0).observe(0).short
