"""The machine's own time zone, by its name in the time zone database."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

ETC = Path("/etc")
_FOLDER = "zoneinfo/"


def local_zone(environ: Mapping[str, str], etc: Path = ETC) -> str:
    """What TZ names, else where /etc/localtime leads, on Linux as on macOS, else what /etc/timezone says; else UTC.

    Asked again and again: whoever travels has another one tomorrow.
    """
    for name in _named(environ, etc):
        with suppress(OSError, ValueError, KeyError):  # the last: ZoneInfoNotFoundError
            ZoneInfo(name)
            return name
    return "UTC"


def _named(environ: Mapping[str, str], etc: Path) -> Iterator[str]:
    yield environ.get("TZ", "").removeprefix(":").rpartition(_FOLDER)[2]
    with suppress(OSError):
        yield os.readlink(etc / "localtime").rpartition(_FOLDER)[2]
    with suppress(OSError, UnicodeDecodeError):
        yield (etc / "timezone").read_text().strip()
