"""Durations and sizes as people write them: `1h30m`, `2GB`."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from foundation.errors import Invalid

_MICROSECONDS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
# Each unit at most once and the larger first, so that "1h30m" has one reading and "1m1m" none.
_DURATION = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in ("d", "h", "m(?!s)", "s", "ms")))

_SIZE_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_SIZE = re.compile(rf"({_NUMBER}) ?([KMGTP]?)(?:I?B)?", re.IGNORECASE)


def parse_duration(text: str) -> timedelta:
    """Reads `90s`, `5m`, `1h30m`, `1.5h`, `250ms` or `7d`; a number without a unit is refused.

    Raises Invalid, code `bad_duration`.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise Invalid("bad_duration", f"“{text}” is not a duration.", remedy="Write it like 90s, 5m or 1h30m.")
    units = _MICROSECONDS.values()
    total = sum(Decimal(number) * unit for number, unit in zip(match.groups(), units, strict=True) if number)
    try:
        return timedelta(microseconds=int(total))
    except OverflowError:
        raise Invalid("bad_duration", f"“{text}” is longer than a duration can be.") from None


def format_duration(duration: timedelta) -> str:
    """Writes a duration so that `parse_duration` reads the same one: `1h30m`, `0.25s`, `0s`.

    A negative one is written as `-5s`, which nothing reads.
    """
    if duration < timedelta(0):
        return "-" + format_duration(-duration)
    rest = duration // timedelta(microseconds=1)
    parts = []
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, _MICROSECONDS[unit])
        parts += [f"{count}{unit}"] if count else []
    if rest or not parts:
        seconds, fraction = divmod(rest, 1_000_000)
        parts.append(f"{seconds}.{fraction:06d}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def parse_size(text: str) -> int:
    """Reads `2GB`, `512MB`, `64KiB`, `1.5G` or `4096` as bytes; units are powers of 1024, however written.

    Raises Invalid, code `bad_size`, also for a part of a byte.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise Invalid("bad_size", f"“{text}” is not a size.", remedy="Write it like 512MB or 2GB.")
    exponent = "KMGTP".find(match[2].upper()) + 1 if match[2] else 0
    size = Decimal(match[1]) * 1024**exponent
    if size != int(size):
        raise Invalid("bad_size", f"“{text}” is not a whole number of bytes.")
    return int(size)


def format_size(size: int) -> str:
    """Writes bytes for people in the largest fitting unit, one decimal at most: `2GB`, `1.5MB`, `812B`."""
    if size < 0:
        return "-" + format_size(-size)
    exponent = min((max(size, 1).bit_length() - 1) // 10, len(_SIZE_UNITS) - 1)
    return f"{size / 1024**exponent:.1f}".removesuffix(".0") + _SIZE_UNITS[exponent]
