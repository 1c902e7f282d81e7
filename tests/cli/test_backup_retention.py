"""Which backups go, and that the last good one never does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.backups.catalogue import BackupEntry
from cli.backups.retention import RetentionSettings, prunings
from foundation.backup_ids import made_at_of, new_backup_id, require_backup_id
from foundation.errors import Invalid

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
RULES = RetentionSettings(backup_daily=7, backup_weekly=4, backup_monthly=6, backup_bytes_max=10**9)


def entry(
    made_at: datetime, *, good: bool = True, size: int = 1_000, checked: bool = True, number: int = 0
) -> BackupEntry:
    name = new_backup_id(made_at)
    return BackupEntry(
        id=name,
        number=number,
        path=Path(name),
        made_at=made_at,
        bytes=size,
        good=good,
        checked_at=made_at if checked else None,
        fault="" if good else "It is damaged.",
    )


def daily(days: int) -> list[BackupEntry]:
    return [entry(NOON - timedelta(days=number)) for number in range(days)]


def kept(
    entries: list[BackupEntry], rules: RetentionSettings = RULES, now: datetime = NOON + timedelta(hours=3)
) -> list[BackupEntry]:
    gone = {one.entry.id for one in prunings(entries, rules, now)}
    return [each for each in entries if each.id not in gone]


def test_a_year_of_days_leaves_seven_days_four_weeks_and_six_months() -> None:
    left = [each.made_at for each in kept(daily(400))]
    assert left[:7] == [NOON - timedelta(days=number) for number in range(7)]
    weeks = list(dict.fromkeys(at.isocalendar()[:2] for at in left))
    assert len(weeks) >= 4 and len({(at.year, at.month) for at in left}) == 6
    assert len(left) <= 7 + 4 + 6


def test_all_of_the_last_day_stay() -> None:
    hourly = [entry(NOON - timedelta(hours=number)) for number in range(24)]
    assert kept(hourly) == hourly


def test_the_quota_takes_the_oldest_and_never_the_last_good_one() -> None:
    rules = RetentionSettings(backup_daily=7, backup_weekly=4, backup_monthly=6, backup_bytes_max=2_500)
    assert len(kept(daily(7), rules)) == 2
    assert len(kept([entry(NOON, size=10**12)], rules)) == 1


def test_what_is_not_good_goes_once_a_newer_one_is() -> None:
    bad_before, good, bad_after = (
        entry(NOON, good=False),
        entry(NOON + timedelta(hours=1)),
        entry(NOON + timedelta(hours=2), good=False),
    )
    assert kept([bad_after, good, bad_before]) == [bad_after, good]
    assert kept([bad_after, bad_before]) == [bad_after, bad_before], "with no good one, nothing goes"


def within(size: int) -> RetentionSettings:
    return RetentionSettings(backup_daily=7, backup_weekly=4, backup_monthly=6, backup_bytes_max=size)


def test_bad_ones_since_the_last_good_one_stay_for_a_day_and_the_last_of_them_as_evidence() -> None:
    good = entry(NOON - timedelta(days=3))
    bad = [entry(NOON - timedelta(hours=hours), good=False) for hours in (0, 12, 30, 60)]
    assert kept([*bad, good], now=NOON) == [*bad[:2], good]
    assert kept([*bad, good], now=NOON + timedelta(days=9)) == [bad[0], good]


def test_where_there_is_too_little_room_bad_ones_go_before_any_good_one() -> None:
    bad = [entry(NOON - timedelta(minutes=number), good=False) for number in range(3)]
    good = [entry(NOON - timedelta(days=1 + number)) for number in range(3)]
    assert kept([*bad, *good], within(6_000)) == [*bad, *good]
    assert kept([*bad, *good], within(4_000)) == [bad[0], *good]
    assert kept([*bad, *good], within(3_000)) == good
    assert kept([*bad, *good], within(2_000)) == good[:2]
    assert kept([*bad, *good], within(10)) == good[:1], "the last good one never goes"


def test_with_no_good_one_those_that_nobody_found_bad_are_the_last_to_go() -> None:
    never = entry(NOON - timedelta(days=2), good=False, checked=False)
    bad = [entry(NOON - timedelta(days=number), good=False) for number in (0, 1, 3)]
    assert kept([bad[0], bad[1], never, bad[2]], within(2_000)) == [bad[0], never]
    assert kept([bad[0], bad[1], never, bad[2]], within(10)) == [bad[0]]


def test_what_a_clock_that_was_ahead_has_named_keeps_no_good_one_from_its_place() -> None:
    """Three of next year, of a clock that was set right afterwards, then two weeks of nights."""
    ahead = [entry(NOON + timedelta(days=400 - number), number=3 - number) for number in range(3)]
    nights = [entry(NOON - timedelta(days=number), number=20 - number) for number in range(14)]
    assert kept([*nights, *ahead], within(10**9))[:7] == nights[:7]
    weekly = [each for each in kept([*nights, *ahead], within(10**9)) if each in nights[7:]]
    assert len(weekly) == 1, "and the last of the week before"
    day = [entry(NOON - timedelta(hours=hours), number=9 - hours) for hours in range(6)]
    wrong = entry(NOON + timedelta(days=90), number=10)
    assert kept([wrong, *day], now=NOON) == [wrong, *day], "the last day stays though the last one's moment is far away"


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.booleans(), st.integers(1, 10**6)), max_size=40),
    st.integers(0, 9),
    st.integers(1, 10**6),
)
def test_the_last_good_one_stays_whatever_the_rules(made: list[tuple[int, bool, int]], count: int, room: int) -> None:
    entries = [entry(NOON - timedelta(hours=hours), good=good, size=size) for hours, good, size in made]
    entries.sort(key=lambda each: each.id, reverse=True)
    rules = RetentionSettings(backup_daily=count, backup_weekly=count, backup_monthly=count, backup_bytes_max=room)
    left = kept(entries, rules)
    good = [each for each in entries if each.good]
    assert good == [] or good[0] in left


def test_ids_name_their_moment_and_nothing_else_is_one() -> None:
    name = new_backup_id(NOON)
    assert made_at_of(name) == NOON and require_backup_id(name) == name
    for wrong in ("", "latest", name + "/..", name[:-1], "20261128T250000Z-aaaa", f" {name}", f"{name}\n"):
        with pytest.raises(Invalid):
            require_backup_id(wrong)
