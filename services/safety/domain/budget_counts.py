"""How many counted attempts of one scope ended, and failed, in each minute of the last seven days."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

WEEK_MINUTES = 7 * 24 * 60
_TRIMMED_EVERY_MINUTES = 24 * 60


class Tally(NamedTuple):
    """So many counted attempts, and how many of them failed."""

    attempts: int = 0
    failures: int = 0


class Bucket(NamedTuple):
    """What was counted in one minute since 1970."""

    minute: int
    attempts: int
    failures: int


class Counts:
    """One-minute buckets as running totals: any window is the difference of two of them, exactly.

    Only minutes in which something ended take room, 24 bytes each. A bucket that lies in the future, because the clock
    was set back since, counts as one of now, and what ends until then is added to it: setting the clock right again
    loses nothing.
    """

    __slots__ = ("_attempts_before", "_failures_before", "_minutes", "attempts", "failures")

    def __init__(self) -> None:
        self._minutes = array("q")
        self._attempts_before = array("q")
        self._failures_before = array("q")
        self.attempts = 0
        """Ends that were ever counted here; a window takes differences of it."""
        self.failures = 0

    def add(self, minute: int, tally: Tally) -> int:
        """Count ends of a minute; return the minute under which they are kept."""
        minutes = self._minutes
        if not minutes or minute > minutes[-1]:
            if minutes and minute - minutes[0] >= WEEK_MINUTES + _TRIMMED_EVERY_MINUTES:
                self._forget(minute - WEEK_MINUTES)
            minutes.append(minute)
            self._attempts_before.append(self.attempts)
            self._failures_before.append(self.failures)
        self.attempts += tally.attempts
        self.failures += tally.failures
        return minutes[-1]

    def within(self, minutes: int, now: int) -> Tally:
        """What was counted in the last `minutes` minutes, the one of `now` among them."""
        first = bisect_right(self._minutes, now - minutes)
        if first == len(self._minutes):
            return Tally()
        return Tally(self.attempts - self._attempts_before[first], self.failures - self._failures_before[first])

    def kept_under(self, minute: int) -> int:
        """The minute under which what ends in `minute` is kept: a later one if the clock was set back."""
        return max(minute, self._minutes[-1]) if self._minutes else minute

    def at(self, minute: int) -> Bucket:
        """What is kept under a minute."""
        first = bisect_right(self._minutes, minute - 1)
        if first == len(self._minutes) or self._minutes[first] != minute:
            return Bucket(minute, 0, 0)
        return self._bucket(first)

    def failed_after(self, minute: int) -> Iterator[Bucket]:
        """The buckets later than a minute in which something failed, the oldest first."""
        for index in range(bisect_right(self._minutes, minute), len(self._minutes)):
            bucket = self._bucket(index)
            if bucket.failures:
                yield bucket

    def _bucket(self, index: int) -> Bucket:
        last = index + 1 == len(self._minutes)
        attempts = (self.attempts if last else self._attempts_before[index + 1]) - self._attempts_before[index]
        failures = (self.failures if last else self._failures_before[index + 1]) - self._failures_before[index]
        return Bucket(self._minutes[index], attempts, failures)

    def _forget(self, up_to: int) -> None:
        """Drop the buckets that no window reaches any more."""
        expired = bisect_right(self._minutes, up_to)
        del self._minutes[:expired]
        del self._attempts_before[:expired]
        del self._failures_before[:expired]
