"""When an attempt began, told in the time of the day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from clients.wire_values import micros_of
from foundation.clock import ManualClock, SystemClock
from services.agent_runner.app.attempt_messages import boot_us_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class HeldUp(ManualClock):
    """A clock whose reader is held up for 25 s after some of its looks."""

    def __init__(self, looks: set[int]) -> None:
        super().__init__(NOON, boottime=1000.0)
        self._looks, self._number = looks, 0

    def _look(self) -> None:
        self._number += 1
        if self._number in self._looks:
            self.advance(timedelta(seconds=25))

    def now(self) -> datetime:
        try:
            return super().now()
        finally:
            self._look()

    def boottime(self) -> float:
        try:
            return super().boottime()
        finally:
            self._look()


@pytest.mark.parametrize("looks", [set(), {1}, {2}, {1, 2}, {2, 4}, {1, 4, 8}, {3, 6, 9}])
def test_whoever_is_held_up_between_two_looks_does_not_shift_when_it_began(looks: set[int]) -> None:
    assert boot_us_of(HeldUp(looks)) == micros_of(NOON) - 1_000_000_000


def test_control_two_looks_alone_are_shifted() -> None:
    clock = HeldUp({1})
    assert micros_of(clock.now()) - round(clock.boottime() * 1e6) == micros_of(NOON) - 1_025_000_000


def test_looks_that_are_all_held_up_come_to_an_end() -> None:
    clock = HeldUp(set(range(1, 100)))
    assert abs(boot_us_of(clock) - (micros_of(NOON) - 1_000_000_000)) <= 25_000_000


def test_the_machine_s_own_clocks_agree() -> None:
    clock = SystemClock()
    zeros = [boot_us_of(clock) for _ in range(1000)]
    assert max(zeros) - min(zeros) < 1_000_000, "a clock of the day that is being set may shift it a little"
