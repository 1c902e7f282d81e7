"""A coordinator whose time of day is played: it stands still until the test sets it, and ends where the test says.

It runs in its workspace's folder, with two files of the test's there: `time` says what time it is, in microseconds
since 1970, and `end_at` at which point of the next firing the process is to kill itself with -9: `before` it is
submitted, `inside` the transaction that adds its task, or `after` that is durable and nobody has been told. With
`--apart` it fires as one would without the protection: no key, the task in one commit and its record in the next;
`between` lies there.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from foundation.clock import SystemClock
from services.coordinator import __main__ as coordinator
from services.coordinator import wiring
from services.coordinator.adapters.sqlite import SqliteStore
from services.coordinator.app import schedules
from services.coordinator.app.timetable import Entry
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.schedule import Fire, fired
from services.coordinator.ports import StoreTransaction

TIME, END_AT = "time", "end_at"
POINTS = ("before", "inside", "after")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PlayedClock(SystemClock):
    """The time of day is what the file says; the time since boot is the machine's."""

    def now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=int(Path(TIME).read_text()))


def write_time(folder: Path, now: datetime) -> None:
    """Set the clock of whoever runs in a folder."""
    _put(folder / TIME, str((now - _EPOCH) // timedelta(microseconds=1)))


def write_end(folder: Path, point: str) -> None:
    """Say where the next firing is to end; "": nowhere."""
    _put(folder / END_AT, point)


def _put(path: Path, text: str) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.rename(path)


def end_here(point: str) -> None:
    """Kill this process if this is the point."""
    if Path(END_AT).read_text() == point:
        os.kill(os.getpid(), signal.SIGKILL)


class EndingStore(SqliteStore):
    """Ends the process around the transaction that records a firing."""

    async def write(self, work: Callable[[StoreTransaction], Any]) -> Any:
        fires = False

        def watched(tx: StoreTransaction) -> Any:
            nonlocal fires
            _noted.clear()
            result = work(tx)
            fires = bool(_noted)
            if fires:
                end_here("inside")
            return result

        result = await super().write(watched)
        if fires:
            end_here("after")
        return result


_noted: list[bool] = []


def _noting(*args: Any, **named: Any) -> Any:
    _noted.append(True)
    return fired(*args, **named)


class Watched(schedules.Schedules):
    """As it is, but for the point before it."""

    async def _fire(self, entry: Entry, fire: Fire, now: datetime) -> None:
        end_here("before")
        await super()._fire(entry, fire, now)


class Apart(schedules.Schedules):
    """What fires twice: the task is there before its record is."""

    async def _fire(self, entry: Entry, fire: Fire, now: datetime) -> None:
        end_here("before")
        submitted = await self._submit([TaskRequest(agent=entry.spec.name)], "", schedules.KEEPER)
        end_here("between")

        def record(tx: StoreTransaction) -> None:
            standing = entry.standing(schedules.rows_of(tx, entry), now=now)
            tx.put_schedule(fired(standing, fire.due, submitted.tasks[0].id, missed=fire.missed, now=now))

        await self._store.write(record)
        end_here("after")


def _played(name: str, value: object) -> None:
    setattr(wiring, name, value)


if __name__ == "__main__":
    apart = "--apart" in sys.argv
    if apart:
        sys.argv.remove("--apart")
    _played("SystemClock", PlayedClock)
    _played("SqliteStore", EndingStore)
    schedules.PAUSE_SECONDS_MAX = 0.02
    setattr(schedules, "fired", _noting)  # noqa: B010 - it is imported there
    book = sys.modules["services.coordinator.app.schedule_book"]
    setattr(book, "Schedules", Apart if apart else Watched)  # noqa: B010 - it is imported there
    sys.exit(coordinator.main())
