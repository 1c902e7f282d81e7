"""The clocks: aware, in UTC, and one that only moves when told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from foundation.clock import Clock, ManualClock, SystemClock


def test_the_system_clock_is_aware_and_in_utc() -> None:
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)


def test_the_time_since_boot_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.boottime() for _ in range(1000)]
    assert readings == sorted(readings)


def test_a_manual_clock_stands_still_until_it_is_advanced() -> None:
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC), boottime=7.0)
    assert (clock.now(), clock.boottime()) == (datetime(2026, 5, 1, tzinfo=UTC), 7.0)
    assert clock.advance(timedelta(minutes=1)) == datetime(2026, 5, 1, 0, 1, tzinfo=UTC)
    assert clock.boottime() == 67.0


def test_a_clock_that_was_set_back_leaves_the_time_since_boot_alone() -> None:
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC), boottime=7.0)
    clock.set_now(datetime(2020, 1, 1, tzinfo=UTC))
    assert (clock.now().year, clock.boottime()) == (2020, 7.0)


def test_a_clock_does_not_advance_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        ManualClock().advance(timedelta(seconds=-1))
