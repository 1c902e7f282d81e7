"""How the backups stand: whether there is a good one that is young enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cli.backups.catalogue import BackupEntry, entries
from cli.doctor.findings import Finding, fail, ok, warn
from cli.doctor.subject import Subject
from cli.output.printing import counted
from foundation.quantities import format_duration, format_size

CREATE = "quantum backup create"
_AHEAD = timedelta(minutes=5)
"""By so much two clocks may differ without anybody having been wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySettings:
    """From which age on the last good backup is too old."""

    backup_overdue_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """One sentence, and whether somebody must do something: `wrong` when what is there is not good."""

    said: str
    due: bool = False
    wrong: bool = False


def newest_good(found: Sequence[BackupEntry]) -> BackupEntry | None:
    """The youngest of those that were restored and found whole."""
    return next((entry for entry in found if entry.good), None)


def judge(found: Sequence[BackupEntry], overdue: timedelta, now: datetime) -> Copies:
    """What to say of these, newest first."""
    if not found:
        return Copies(said="There is none.", due=True)
    good, all_of_them = newest_good(found), format_size(sum(entry.bytes for entry in found))
    if good is None:
        return Copies(
            said=f"None of {len(found)} is good. The newest, {found[0].id}: {found[0].fault}", due=True, wrong=True
        )
    age = timedelta(seconds=max(0, int((now - good.made_at).total_seconds())))
    ahead = good.made_at - now > _AHEAD
    old = (
        f"is from {good.made_at:%Y-%m-%d %H:%M} UTC, which is still to come: a clock is wrong, or was" if ahead else ""
    )
    said = (
        f"the last good one {old or f'is {format_duration(age)} old'}; {counted(len(found), 'backup')}, {all_of_them}"
    )
    if found[0] is not good:
        return Copies(said=f"The newest, {found[0].id}, is not good: {found[0].fault} ({said})", due=True, wrong=True)
    return Copies(said=said, due=ahead or age > overdue)


def copies_of(subject: Subject) -> Copies:
    """Of this workspace, now."""
    overdue = timedelta(seconds=subject.settings(CopySettings).backup_overdue_seconds)
    found = entries(subject.here, subject.session.environ)
    return judge(found, overdue, subject.session.clock.now())


def backups(subject: Subject) -> Iterator[Finding]:
    """Nothing is opened: what a check found was written down beside each."""
    part, copies = "backups", copies_of(subject)
    if copies.wrong:
        yield fail(part, copies.said, CREATE)
    elif copies.due:
        yield warn(part, copies.said, CREATE)
    else:
        yield ok(part, copies.said)
