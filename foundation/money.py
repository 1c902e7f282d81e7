"""Amounts of money: whole micro-dollars inside, dollars with a point for people; no fractions are ever rounded away."""

from __future__ import annotations

import re

from foundation.errors import Invalid

MICROS_PER_DOLLAR = 1_000_000
DOLLARS_MAX = 1_000_000_000
_DOLLARS = re.compile(r"\$?(\d{1,10})(?:\.(\d{1,6}))?", re.ASCII)


def parse_dollars(text: str) -> int:
    """The micro-dollars of a text like `5`, `0.25` or `$1.5`; at most six decimals.

    Raises Invalid for anything else, and for more than a billion dollars.
    """
    found = _DOLLARS.fullmatch(text.strip())
    if found is None or int(found[1]) > DOLLARS_MAX:
        raise Invalid("bad_amount", f"“{text}” is not an amount in dollars.", remedy="Write it like 5 or 0.25.")
    return int(found[1]) * MICROS_PER_DOLLAR + int((found[2] or "").ljust(6, "0"))


def format_dollars(micros: int) -> str:
    """`$1.25` of 1,250,000: two decimals, and as many more as it needs."""
    dollars, rest = divmod(abs(micros), MICROS_PER_DOLLAR)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}${dollars:,}.{decimals}"
