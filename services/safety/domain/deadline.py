"""A point in time that a jump of the wall clock can bring nearer but never push further away than its full length."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """Something that ends at `at`, `full` after it began.

    Both are kept, so that a clock set back (or a database restored from another machine) cannot make the wait longer
    than it was ever meant to be: `clamped` caps the time left at `full`.
    """

    at: datetime
    full: timedelta

    @classmethod
    def after(cls, full: timedelta, *, now: datetime) -> Deadline:
        """Begin a wait of `full` at `now`."""
        return cls(at=now + full, full=full)

    def passed(self, now: datetime) -> bool:
        """Whether the wait is over at `now`."""
        return now >= self.at

    def shifted(self, step: timedelta) -> Deadline:
        """The same wait after the wall clock was set by `step`."""
        return Deadline(at=self.at + step, full=self.full)

    def clamped(self, now: datetime) -> Deadline:
        """The same deadline with its time left held within 0 … `full`."""
        return self if self.at - now <= self.full else Deadline.after(self.full, now=now)
