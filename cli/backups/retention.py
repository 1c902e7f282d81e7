"""Which backups are kept: the last good one of so many days, weeks and months, within a quota."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from cli.backups.catalogue import BackupEntry

_ALL_OF = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """Names, units and bounds are those of foundation/known_settings."""

    backup_daily: int
    backup_weekly: int
    backup_monthly: int
    backup_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """One backup that goes, and why, as a sentence."""

    entry: BackupEntry
    why: str


def prunings(entries: Sequence[BackupEntry], rules: RetentionSettings, now: datetime) -> Sequence[Pruning]:
    """What is to go of these (the one that was made last first), in their order. The last good one never goes.

    Of good ones the last of so many days, weeks and months (in UTC) stay, and those of the 24 hours before the last.
    One that is not good goes once there is a good one that was made later; of those that were made since, the last
    stays as evidence, and the others for 24 hours. Where there is too little room, what is not good goes first.
    """
    good = [entry for entry in entries if entry.good]
    since = list(takewhile(lambda entry: not entry.good, entries))
    moments = _moments(entries, now)
    going: dict[str, str] = {}
    if good:
        kept = _kept(good, rules, moments)
        older = entries[len(since) + 1 :]
        going = {entry.id: _why(entry, good[0]) for entry in older if entry.id not in kept}
        for entry in since[1:]:
            if now - moments[entry.id] >= _ALL_OF:
                going[entry.id] = f"It is not good, and nor is {since[0].id}, which stays as evidence."
    used = sum(entry.bytes for entry in entries if entry.id not in going)
    for entry in _by_worth(entries, never=good[0] if good else entries[0] if entries else None):
        if used > rules.backup_bytes_max and entry.id not in going:
            going[entry.id] = "There is no room for it within backup_bytes_max."
            used -= entry.bytes
    return [Pruning(entry=entry, why=going[entry.id]) for entry in entries if entry.id in going]


def _moments(entries: Sequence[BackupEntry], now: datetime) -> dict[str, datetime]:
    """When each was made at the latest: a clock that was ahead puts none behind a later one, or behind `now`."""
    latest, moments = now, {}
    for entry in entries:
        moments[entry.id] = latest = min(latest, entry.made_at)
    return moments


def _kept(good: Sequence[BackupEntry], rules: RetentionSettings, moments: Mapping[str, datetime]) -> set[str]:
    last = moments[good[0].id]
    kept = {entry.id for entry in good if last - moments[entry.id] < _ALL_OF}
    for count, period in ((rules.backup_daily, _day), (rules.backup_weekly, _week), (rules.backup_monthly, _month)):
        kept |= _last_of_each(good, period, count)
    return kept


def _by_worth(entries: Sequence[BackupEntry], *, never: BackupEntry | None) -> Sequence[BackupEntry]:
    """The order in which they go for want of room: found bad, never checked to the end, good; of each the oldest first.

    `never` is the one that does not.
    """
    oldest_first = [entry for entry in reversed(entries) if entry is not never]
    return sorted(oldest_first, key=lambda entry: 2 if entry.good else 1 if entry.checked_at is None else 0)


def _why(entry: BackupEntry, newest: BackupEntry) -> str:
    if not entry.good:
        return f"It is not good, and {newest.id} is."
    return "It is the last of no day, week or month that is kept."


def _last_of_each(good: Sequence[BackupEntry], period: Callable[[datetime], object], count: int) -> set[str]:
    last: dict[object, str] = {}
    for entry in good:
        last.setdefault(period(entry.made_at), entry.id)
    return set(list(last.values())[:count])


def _day(at: datetime) -> object:
    return at.date()


def _week(at: datetime) -> object:
    return at.isocalendar()[:2]


def _month(at: datetime) -> object:
    return at.year, at.month
