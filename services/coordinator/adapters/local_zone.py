"""The machine's own time zone, by its name in the time zone database."""

import os
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

LOCALTIME = Path("/etc/localtime")
_FOLDER = "zoneinfo/"


def local_zone(environ: Mapping[str, str], localtime: Path = LOCALTIME) -> str:
    """What TZ names, else what /etc/localtime leads to, on Linux as on macOS; UTC where neither names a zone.

    Asked again and again: whoever travels has another one tomorrow.
    """
    named = environ.get("TZ", "").removeprefix(":")
    if not named:
        try:
            named = os.readlink(localtime)
        except OSError:
            return "UTC"
    name = named.rpartition(_FOLDER)[2]
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # the last: ZoneInfoNotFoundError
        return "UTC"
    return name
