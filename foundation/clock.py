"""The only place where the time is read."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

# CLOCK_BOOTTIME goes on through sleep. macOS has none; its raw monotonic clock does the same there, while
# Python's time.monotonic() stands still while the machine sleeps, so that a lease would outlive its holder.
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", None) or time.CLOCK_MONOTONIC_RAW


class Clock(Protocol):
    """Tells the time of day and the time since boot; read it once, at the door, and hand `now` down."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC. It may jump when the machine's clock is set."""
        ...

    def boottime(self) -> float:
        """Seconds since an arbitrary start; never goes back and counts the time the machine slept."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return datetime.now(UTC)

    def boottime(self) -> float:
        """Seconds since boot, sleep included."""
        return time.clock_gettime(_BOOT_CLOCK)


class ManualClock:
    """A clock for tests that stands still until it is told to move."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), boottime: float = 1000.0) -> None:
        self._now = start
        self._boottime = boottime

    def now(self) -> datetime:
        """The time that was last set."""
        return self._now

    def boottime(self) -> float:
        """Seconds; moves only with `advance`."""
        return self._boottime

    def advance(self, by: timedelta) -> datetime:
        """Moves both clocks on and returns the new time of day; raises ValueError for a step back."""
        if by < timedelta(0):
            raise ValueError("a clock does not advance backwards; use set_now for a time of day that was set back")
        self._now += by
        self._boottime += by.total_seconds()
        return self._now

    def set_now(self, now: datetime) -> None:
        """Sets the time of day alone, as an administrator or NTP does; boottime stays."""
        self._now = now
