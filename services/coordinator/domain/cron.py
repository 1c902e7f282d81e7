"""Cron expressions: what one may say, and when it is due in a time zone, both changes of the clock included.

Five fields (minute, hour, day of the month, month, day of the week) or a nickname like @daily. As Debian's cron has it:
of a day of the month and a day of the week that both begin with no star, either will do; and what names its minute and
its hour without a star is a time of day: one that the clock leaps over is due at the first moment after the leap, one
that comes twice is due the first time alone. Anything else is an interval, which follows the hours as they really pass.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from foundation.errors import did_you_mean

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
COUNT_MAX = 1_000
"""Due times that are counted; of more, nobody reads the number."""

_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_SPOKEN = ("minute (0-59)", "hour (0-23)", "day of the month (1-31)", "month (1-12)", "day of the week (0-7, SUN-SAT)")
_EXAMPLE = "Write it like “0 6 * * *” (each day at six) or @daily."
_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
# One of these is longer than the pause of whatever was due before at all: months, leap years, the days of a week.
_LOOKS_BACK = tuple(timedelta(days=days) for days in (0.05, 1.1, 8, 32, 367, 1_500, 15_000))


class Due(NamedTuple):
    """Due times that have come: the latest of them, and how many (at most COUNT_MAX)."""

    latest: datetime
    times: int


def read_cron(text: str) -> str:
    """The five fields of an expression or a nickname, with single blanks.

    Raises ValueError with the rest of a sentence that begins with what was written; it names the nearest right one.
    """
    fields = _fields(text)
    fault = _fault(fields)
    if fault is None:
        return " ".join(fields)
    nearest = next((near for near in _nearest(text.strip(), fields) if _fault(_fields(near)) is None), None)
    raise ValueError(f"{fault} {f'Did you mean “{nearest}”?' if nearest else _EXAMPLE}")


def read_zone(name: str) -> str:
    """The name of a time zone that this machine knows. Raises ValueError as `read_cron` does."""
    try:
        zone_of(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        near = next((zone for zone in known if zone.lower() == name.strip().lower()), None)
        near = near or did_you_mean(name, known) or did_you_mean(name.title(), [zone.split("/")[-1] for zone in known])
        full = next((zone for zone in sorted(known) if near and zone.split("/")[-1] == near), near)
        meant = f"Did you mean “{full}”?" if full else "Write it like Europe/Berlin or UTC."
        if not known:
            meant = "This machine has no time zones; its package is called tzdata."
        raise ValueError(f"is not a time zone that this machine knows. {meant}") from None
    return name


def zone_of(name: str) -> tzinfo:
    """A time zone. Raises ZoneInfoNotFoundError, ValueError or OSError for what is none."""
    return UTC if name in ("", "UTC") else ZoneInfo(name)


def times_after(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The moments in UTC at which an expression is due, strictly after one and each once; none when it never is."""
    last = after
    for at in _simulated(cron, after.astimezone(zone_of(zone))):
        moment = at.astimezone(UTC)
        # What is leapt over comes at one moment with what is due then; what comes twice would come a second time.
        if moment > last:
            last = moment
            yield moment


@lru_cache(maxsize=4096)
def next_after(cron: str, zone: str, after: datetime) -> datetime | None:
    """The first moment after one. Asked again and again while nothing is due, so that it is kept."""
    return next(times_after(cron, zone, after), None)


def due_between(cron: str, zone: str, after: datetime, until: datetime) -> Due | None:
    """What has been due after one moment, until another and with it; costs the same however long that is."""
    count = 0
    latest = None
    for moment in times_after(cron, zone, after):
        if moment > until:
            break
        latest, count = moment, count + 1
        if count == COUNT_MAX:
            latest = _latest(cron, zone, latest, until)
            break
    return None if latest is None else Due(latest, count)


def _latest(cron: str, zone: str, known: datetime, until: datetime) -> datetime:
    """The last due time until a moment, of which one is known: by looks back that grow."""
    for back in _LOOKS_BACK:
        latest = None
        for moment in times_after(cron, zone, max(known, until - back)):
            if moment > until:
                break
            latest = moment
        if latest is not None:
            return latest
    return known


def _simulated(cron: str, after: datetime) -> Iterator[datetime]:
    """As cronsim has it; it says of what it finds no more that it has none, not that it has ended."""
    yield from CronSim(cron, after)


# -- what is wrong with one, and what is near it


def _fields(text: str) -> list[str]:
    return NICKNAMES.get(text.strip().lower(), text).split()


def _fault(fields: list[str]) -> str | None:
    """The rest of a sentence; None for a right one that is due some day."""
    if len(fields) != len(_FIELDS):
        return f"has {len(fields)} field{'' if len(fields) == 1 else 's'} where an expression has five."
    try:
        simulated = CronSim(" ".join(fields), _BEGIN)
    except CronSimError as error:
        wrong = str(error).removeprefix("Bad ")
        place = _FIELDS.index(wrong) if wrong in _FIELDS else 0
        if _is_right(fields[place], place):
            return f"never comes: no month that it names has the day {fields[place]}."
        return f"has “{fields[place]}” where its {_SPOKEN[place]} should be."
    return None if next(simulated, None) is not None else "never comes."


def _is_right(field: str, place: int) -> bool:
    """Whether a field by itself is one."""
    try:
        CronSim(" ".join(field if at == place else "*" for at in range(len(_FIELDS))), _BEGIN)
    except CronSimError:
        return False
    return True


def _nearest(text: str, fields: list[str]) -> Iterable[str]:
    """What may have been meant, the likeliest first; some of it may be wrong, too."""
    spoken = re.fullmatch(r"(?:every )?([0-9]{1,2}) ?(m|h)[a-z]*", text.lower())
    if spoken:
        yield f"*/{spoken[1]} * * * *" if spoken[2] == "m" else f"0 */{spoken[1]} * * *"
    if len(fields) <= 1:
        near = did_you_mean(f"@{text.lower().lstrip('@')}", NICKNAMES)
        yield near or ""
    if len(fields) == len(_FIELDS) + 1:
        yield " ".join(fields[1:])  # with the seconds before, as some have it
    mended = [_mended(field, place) for place, field in enumerate(fields[: len(_FIELDS)])]
    yield " ".join(mended)
    if len(fields) == len(_FIELDS):
        yield " ".join(field if _is_right(field, at) else mended[at] for at, field in enumerate(fields))
        yield " ".join([*fields[:2], "L", *fields[3:]])
    if 2 <= len(fields) < len(_FIELDS):
        yield " ".join([*fields, *["*"] * (len(_FIELDS) - len(fields))])


_FULL_NAME = re.compile(r"(?i)\b(SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|JUN|JUL|AUG|SEP|OCT|NOV|DEC)[A-Z]+")
_RANGE = re.compile(r"([0-9]+|[A-Z]{3})-([0-9]+|[A-Z]{3})(?!/)")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def _mended(field: str, place: int) -> str:
    """A field within its bounds: numbers brought into them, ranges over midnight cut in two, long names cut short."""
    least, most = _BOUNDS[place]
    field = _FULL_NAME.sub(lambda match: match[1], field.upper()).replace("?", "*").replace("/0", "")

    def bounded(match: re.Match[str]) -> str:
        number = int(match[0])
        over_by_one = place < 2 and number == most + 1
        return str(least if over_by_one else max(least, min(most, number)))

    def cut(match: re.Match[str]) -> str:
        first, last = (_number(end) for end in match.groups())
        if first is None or last is None or first <= last:
            return match[0]
        end = min(most, 6) if place == len(_FIELDS) - 1 else most
        until_then = f"{first}-{end}" if end > first else f"{first}"
        return f"{until_then},{least}-{last}" if last > least else f"{until_then},{least}"

    return _RANGE.sub(cut, re.sub(r"(?<![/#0-9])[0-9]+", bounded, field))


def _number(end: str) -> int | None:
    if end.isdigit():
        return int(end)
    return _DAYS.index(end) if end in _DAYS else None
