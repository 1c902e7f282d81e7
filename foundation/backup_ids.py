"""Names of backups: the moment at which each was made, and four letters that tell apart those of one second."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from foundation.errors import Invalid
from foundation.ids import ALPHABET, random_bytes

_ID = re.compile(r"(\d{8}T\d{6})Z-[0-9a-z]{4}\Z")
_FORM = "%Y%m%dT%H%M%S"


def new_backup_id(now: datetime, random: Callable[[int], bytes] = random_bytes) -> str:
    """Like `20261128T183000Z-7k2m`; ids sort by the moment that they name."""
    letters = "".join(ALPHABET[byte % len(ALPHABET)] for byte in random(4))
    return f"{now.astimezone(UTC):{_FORM}}Z-{letters}"


def made_at_of(backup_id: str) -> datetime | None:
    """The moment that an id names; None for what is no id of ours."""
    parts = _ID.match(backup_id)
    try:
        return datetime.strptime(parts[1], _FORM).replace(tzinfo=UTC) if parts else None
    except ValueError:
        return None


def require_backup_id(backup_id: str) -> str:
    """The id itself. Raises Invalid, code `bad_backup_id`; what passes is safe as the name of a file."""
    if made_at_of(backup_id) is None:
        raise Invalid("bad_backup_id", f"“{backup_id[:80]}” is no id of a backup.", remedy="quantum backup list")
    return backup_id
