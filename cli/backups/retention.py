"""Which backups are kept: the last good one of so many days, weeks and months, within a quota."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

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


def prunings(entries: Sequence[BackupEntry], rules: RetentionSettings) -> Sequence[Pruning]:
    """What is to go of these (the newest first), the oldest last. The last good one never goes.

    Those of the 24 hours before it stay, too, as far as there is room. Days, weeks and months are those of UTC. One
    that is not good goes once there is a good one that is newer.
    """
    good = [entry for entry in entries if entry.good]
    if not good:
        return ()
    newest = good[0]
    kept = {entry.id for entry in good if newest.made_at - entry.made_at < _ALL_OF}
    for count, period in ((rules.backup_daily, _day), (rules.backup_weekly, _week), (rules.backup_monthly, _month)):
        kept |= _last_of_each(good, period, count)
    going = {entry.id: _why(entry, newest) for entry in entries if entry.id not in kept and entry.id < newest.id}
    used = 0
    for entry in entries:
        if entry.id in going:
            continue
        used += entry.bytes
        if used > rules.backup_bytes_max and entry.id != newest.id and entry.id < newest.id:
            going[entry.id] = "There is no room for it within backup_bytes_max."
            used -= entry.bytes
    return [Pruning(entry=entry, why=going[entry.id]) for entry in entries if entry.id in going]


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
