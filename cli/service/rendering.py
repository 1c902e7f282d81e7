"""Fills the templates of `systemd/` and `launchd/`: absolute paths and times, each written as its format wants it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from foundation.errors import Internal, Invalid
from foundation.own_python import PACKAGES, child_environment
from foundation.settings import load
from foundation.workspace import Workspace

_PLACE = re.compile(r"\{\{([a-z0-9_]+)\}\}")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_UPKEEP_SECONDS_MIN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSettings:
    """The settings that are written into units."""

    stop_grace_seconds: float
    gateway_drain_seconds: float
    token_rotation_seconds: float
    token_overlap_seconds: float


def values_of(workspace: Workspace, environ: Mapping[str, str]) -> dict[str, str]:
    """What the templates' places stand for. Raises Invalid for a path that no unit can name, or a bad setting."""
    # What is set in this shell is not set for the units; what they are to honour stands in the workspace's file.
    settings = load(UnitSettings, environ={}, workspace=workspace)
    values = {
        "key12": workspace.key12,
        "workspace": str(workspace.root),
        "logs": str(workspace.logs),
        "python": sys.executable,
        "packages": child_environment({}).get("PYTHONPATH", ""),
        "path": _path(environ),
        "lang": environ.get("LANG") or "C.UTF-8",
        "keychain": environ.get("QUANTUM_KEYCHAIN") or "auto",
        # Each a little more than the process itself takes at most.
        "stop_seconds_safety": "15",
        "stop_seconds_coordinator": "15",
        "stop_seconds_gateway": str(int(settings.gateway_drain_seconds) + 10),
        "stop_seconds_runner": str(int(settings.stop_grace_seconds) + 20),
        "upkeep_seconds": str(upkeep_seconds(settings)),
    }
    for name, value in values.items():
        if not value.isprintable():
            raise Invalid(
                "unprintable_in_unit",
                f"{value!r} ({name}) has characters that cannot be written into a unit.",
                remedy="Give the folder another name." if name in ("workspace", "logs") else "",
            )
    return values


def upkeep_seconds(settings: UnitSettings) -> int:
    """How often tokens are looked at: several times within an overlap, in which the replaced one is still good."""
    seconds = min(settings.token_overlap_seconds / 3, settings.token_rotation_seconds / 4)
    return max(_UPKEEP_SECONDS_MIN, int(seconds))


def _path(environ: Mapping[str, str]) -> str:
    """The PATH of whoever installs, so that scripts find as a unit what they find in the shell; absolute parts only."""
    parts = environ.get("PATH", "").split(":")
    return (
        ":".join(dict.fromkeys(part for part in parts if part.startswith("/") and part.isprintable())) or _DEFAULT_PATH
    )


def template(folder: str, name: str) -> str:
    """The text of a template."""
    return (PACKAGES / folder / name).read_text()


def render_plist(text: str, values: Mapping[str, str]) -> str:
    """A property list: XML, in which launchd replaces nothing further."""
    return _fill(text, values, escape)


def render_unit(text: str, values: Mapping[str, str]) -> str:
    """A unit of systemd: `%` begins a specifier everywhere, `$` a variable in commands, quotes count where we quote."""
    return "".join(_fill(line, values, _writing_in(line)) for line in text.splitlines(keepends=True))


def _writing_in(line: str) -> Callable[[str], str]:
    key = line.partition("=")[0]
    if key.startswith("Exec"):
        return lambda value: _quoted(value).replace("$", "$$")
    return _quoted if key == "Environment" else _plain


def _plain(value: str) -> str:
    return value.replace("%", "%%")


def _quoted(value: str) -> str:
    return _plain(value.replace("\\", "\\\\").replace('"', '\\"'))


def _fill(text: str, values: Mapping[str, str], write: Callable[[str], str]) -> str:
    def one(place: re.Match[str]) -> str:
        if place[1] not in values:
            raise Internal("unknown_place", f"A template names {place[0]}, which stands for nothing.")
        return write(values[place[1]])

    return _PLACE.sub(one, text)


def written(folder: Path, files: Mapping[str, str]) -> dict[Path, bytes]:
    """Texts by the path at which they are to lie."""
    return {folder / name: text.encode() for name, text in files.items()}
