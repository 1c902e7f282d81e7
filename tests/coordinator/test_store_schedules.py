"""What every store must do with schedules."""

from dataclasses import replace

import pytest

from services.coordinator.domain.schedule import Pause, ScheduleKey, Standing
from services.coordinator.ports import Store
from tests.coordinator.tasks import NOW, after

BARE = Standing(key=ScheduleKey("build"), timetable="0 6 * * * UTC", after=NOW)
FULL = Standing(
    key=ScheduleKey("build", "HabitQuest"),
    timetable="*/5 * * * * Europe/Berlin",
    after=after(300),
    last_due=after(300),
    last_fired_at=after(301.25),
    last_task="t1",
    missed=39,
    passed=2,
    passed_because="task t0 ran still",
    pause=Pause(by="user", at=after(400), reason="quiet"),
    resumed=True,
)


async def test_schedules_come_back_as_they_went_in_and_are_replaced_by_key(store: Store) -> None:
    changed = replace(BARE, after=after(1), resumed=True)
    for standing in (BARE, FULL, changed):
        await store.write(lambda tx, one=standing: tx.put_schedule(one))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.schedules()) == {BARE.key: changed, FULL.key: FULL}
    assert await store.read(lambda tx: tx.schedule(FULL.key)) == FULL
    assert await store.read(lambda tx: tx.schedule(ScheduleKey("build", "Other"))) is None
    await store.write(lambda tx: tx.forget_schedule(FULL.key))
    await store.write(lambda tx: tx.forget_schedule(FULL.key))
    assert await store.read(lambda tx: tx.schedules()) == {BARE.key: changed}


async def test_what_a_transaction_that_fails_has_put_is_not_there(store: Store) -> None:
    def work(tx: object) -> None:
        tx.put_schedule(BARE)  # type: ignore[attr-defined]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(work)
    assert await store.read(lambda tx: tx.schedules()) == {}
