"""Alerts: what a person is told, grouped by cause, so that one cause is one voice and not a thousand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum

GROUPS_MAX = 1_000
RESOLVED_KEPT = timedelta(days=7)


class Level(IntEnum):
    """How urgent, the more the higher."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that happened. Alerts of the same `cause`, like "breaker:agent:build", are one group."""

    cause: str
    level: Level
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRules:
    """When a person is told. `escalate_after` None: never by itself."""

    cool_down: timedelta = timedelta(minutes=15)
    escalate_after: timedelta | None = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Everything that was raised for one cause, and what of it people were told.

    `told_count` and `told_level` are of the newest message that went out; `told_at` is None before the first.
    """

    cause: str
    level: Level
    sentence: str
    remedy: str
    first_at: datetime
    last_at: datetime
    count: int = 1
    told_at: datetime | None = None
    told_count: int = 0
    told_level: Level | None = None
    escalated: bool = False
    acknowledged_by: str = ""
    resolved_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether its cause still holds, as far as is known."""
        return self.resolved_at is None

    def with_raised(self, alert: Alert, now: datetime) -> Group:
        """The group after one more alert; one that was resolved begins anew, but its cool-down goes on."""
        if not self.open:
            fresh = first(alert, now)
            return replace(fresh, told_at=self.told_at, told_level=self.told_level)
        return replace(
            self,
            level=max(self.level, alert.level),
            sentence=alert.sentence,
            remedy=alert.remedy,
            last_at=now,
            count=self.count + 1,
        )

    def due(self, rules: AlertRules, now: datetime) -> Level | None:
        """The level at which people are to be told now; None when they are not.

        At once the first time and when it becomes more urgent; again, when more came, after the cool-down; and once as
        critical when nobody has acknowledged it for `escalate_after`.
        """
        if not self.open:
            return None
        escalates = self.escalates_at(rules)
        if escalates is not None and now >= escalates:
            return Level.CRITICAL
        if self.told_at is None:
            return self.level
        if self.told_level is not None and self.level > self.told_level and not self.acknowledged_by:
            return self.level
        if self.count > self.told_count and now >= self.told_at + rules.cool_down:
            return self.level
        return None

    def due_at(self, rules: AlertRules) -> datetime | None:
        """When it will be due if nothing more happens; None: never."""
        if not self.open:
            return None
        if self.told_at is None:
            return self.last_at
        moments = [self.escalates_at(rules)]
        if self.count > self.told_count:
            moments.append(self.told_at + rules.cool_down)
        return min((moment for moment in moments if moment is not None), default=None)

    def escalates_at(self, rules: AlertRules) -> datetime | None:
        """When it becomes critical by itself; None: never."""
        if (
            rules.escalate_after is None
            or self.escalated
            or self.acknowledged_by
            or self.level is not Level.WARNING
            or not self.open
        ):
            return None
        return self.first_at + rules.escalate_after

    def message(self, level: Level) -> str:
        """What people read."""
        again = f" ({self.count} times since {self.first_at:%Y-%m-%d %H:%M} UTC)" if self.count > 1 else ""
        waited = " Nobody has acknowledged this yet." if level > self.level else ""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{self.sentence}{again}{waited}{remedy}"

    def told(self, level: Level, count: int, now: datetime) -> Group:
        """The group after people were told of its first `count` alerts."""
        return replace(
            self,
            told_at=now,
            told_count=count,
            told_level=level,
            escalated=self.escalated or level > self.level,
            level=max(self.level, level),
        )

    def acknowledged(self, by: str) -> Group:
        """A person looks after it: it is not escalated any more."""
        return replace(self, acknowledged_by=by)

    def resolved(self, now: datetime) -> Group:
        """Its cause is gone."""
        return self if not self.open else replace(self, resolved_at=now)


def first(alert: Alert, now: datetime) -> Group:
    """The group of a cause that was never raised before."""
    return Group(
        cause=alert.cause,
        level=alert.level,
        sentence=alert.sentence,
        remedy=alert.remedy,
        first_at=now,
        last_at=now,
    )


class AlertBook:
    """The groups as they would be after one change; nothing counts until it is adopted."""

    def __init__(self, groups: Mapping[str, Group]) -> None:
        self._base = groups
        self.changed: dict[str, Group] = {}
        self.must_be_durable = False
        """Whether something is new; one more of a group may be written a second later."""

    def get(self, cause: str) -> Group | None:
        """The group of a cause, None when there is none."""
        return self.changed.get(cause) or self._base.get(cause)

    def raise_(self, alert: Alert, now: datetime) -> None:
        """Take one alert in."""
        before = self.get(alert.cause)
        after = first(alert, now) if before is None else before.with_raised(alert, now)
        self.must_be_durable |= before is None or not before.open or after.level > before.level
        self.changed[alert.cause] = after

    def resolve(self, cause: str, now: datetime) -> None:
        """The cause is gone; nothing happens when it was never there."""
        before = self.get(cause)
        if before is not None and before.open:
            self.put(before.resolved(now))

    def put(self, group: Group, *, durable: bool = True) -> None:
        """Take over a group that was made of the one here; written with the next commit where that is soon enough."""
        self.changed[group.cause] = group
        self.must_be_durable |= durable


def outlived(groups: Mapping[str, Group], now: datetime) -> list[str]:
    """The causes to forget: resolved long ago, and the oldest beyond `GROUPS_MAX`."""
    old = [cause for cause, group in groups.items() if group.resolved_at and now - group.resolved_at > RESOLVED_KEPT]
    left = [group for cause, group in groups.items() if cause not in set(old)]
    left.sort(key=lambda group: (group.open, group.last_at))
    return old + [group.cause for group in left[: max(0, len(left) - GROUPS_MAX)]]


@dataclass(slots=True, kw_only=True)
class Throttle:
    """How much one channel may say in an hour; what is held back is summed up once the hour is over.

    What is critical finds as much room again, so that warnings cannot use up its hour.
    """

    per_hour: int
    began_at: datetime | None = None
    said: int = 0
    held: int = 0

    def lets_through(self, now: datetime, level: Level) -> bool:
        """Count one message, and say whether it may go out."""
        if self.began_at is None or now - self.began_at >= timedelta(hours=1):
            self.began_at, self.said = now, 0
        if self.said >= self.per_hour * (2 if level is Level.CRITICAL else 1):
            self.held += 1
            return False
        self.said += 1
        return True

    def take_summary(self, now: datetime) -> str:
        """The sentence about what was held back, once, when the hour is over; empty when there is nothing to say."""
        if not self.held or self.began_at is None or now - self.began_at < timedelta(hours=1):
            return ""
        held, self.held = self.held, 0
        return f"{held} more alerts came within the hour than this channel may carry ({self.per_hour})."
