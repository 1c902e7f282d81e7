"""Reads `schedule` of a manifest: an expression alone, or a table with what else is to be said of it."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta

from foundation.errors import QuantumError, did_you_mean
from foundation.projects import is_project_name
from foundation.quantities import parse_duration
from services.coordinator.domain.cron import read_cron, read_zone
from services.coordinator.domain.request import PARAMS_BYTES_MAX
from services.coordinator.domain.schedule import ALL_PROJECTS, REPOSITORIES, Overlap, Schedule

CRON_LENGTH_MAX = 200
PROJECTS_MAX = 100
_KEYS = ("cron", "timezone", "overlap", "catch_up", "projects", "params", "paused")


def read_schedule(value: object) -> Schedule:
    """The schedule that a text or a table says. Raises ValueError with the rest of a sentence: “schedule …”."""
    if isinstance(value, str):
        value = {"cron": value}
    if not isinstance(value, dict):
        raise ValueError('must be an expression in quotes like "0 6 * * *", or a table like { cron = "0 6 * * *" }.')
    if unknown := next((key for key in value if key not in _KEYS), None):
        near = did_you_mean(unknown, _KEYS)
        meant = f"Did you mean “{near}”?" if near else f"Known are {', '.join(_KEYS)}."
        raise ValueError(f"has no key “{unknown}”. {meant}")
    if "cron" not in value:
        raise ValueError('needs its cron, like { cron = "0 6 * * *" }.')
    written = _text(value, "cron")
    return Schedule(
        cron=_read(written, read_cron),
        written=written.strip(),
        timezone=_read(_text(value, "timezone"), read_zone) if "timezone" in value else "",
        overlap=_overlap(value),
        catch_up=_catch_up(value),
        projects=_projects(value),
        params=_params(value),
        paused=_flag(value, "paused"),
    )


def _read(text: str, read: Callable[[str], str]) -> str:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"“{text[:80]}” {error}") from None


def _text(table: Mapping[str, object], key: str) -> str:
    value = table[key]
    if not isinstance(value, str) or len(value) > CRON_LENGTH_MAX:
        raise ValueError(f"has a {key} that is no text in quotes of at most {CRON_LENGTH_MAX} characters.")
    return value


def _flag(table: Mapping[str, object], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"has a {key} that is neither true nor false.")
    return value


def _overlap(table: Mapping[str, object]) -> Overlap:
    value = table.get("overlap", Overlap.SKIP)
    if value not in tuple(Overlap):
        near = did_you_mean(str(value), list(Overlap)) or {"forbid": "skip", "buffer": "queue"}.get(str(value).lower())
        meant = f" Did you mean “{near}”?" if near else ""
        raise ValueError(f"has the overlap “{value}”, which must be one of {', '.join(Overlap)}.{meant}")
    return Overlap(str(value))


def _catch_up(table: Mapping[str, object]) -> timedelta | None:
    if "catch_up" not in table:
        return None
    try:
        return parse_duration(_text(table, "catch_up"))
    except QuantumError as error:
        raise ValueError(f"has a catch_up that is none: {error.message} {error.remedy}") from None


def _projects(table: Mapping[str, object]) -> tuple[str, ...]:
    value = table.get("projects")
    if value is None:
        return ("",)
    if value in (ALL_PROJECTS, REPOSITORIES):
        return (str(value),)
    names = value if isinstance(value, list) else [None]
    if not 1 <= len(names) <= PROJECTS_MAX or not all(
        isinstance(name, str) and is_project_name(name) for name in names
    ):
        raise ValueError(
            f'has projects that are none: write "{ALL_PROJECTS}", "{REPOSITORIES}" for those that are repositories, or'
            ' a list of names like ["HabitQuest"].'
        )
    return tuple(dict.fromkeys(names))


def _params(table: Mapping[str, object]) -> str:
    value = table.get("params", {})
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False) if isinstance(value, dict) else ""
    except (TypeError, ValueError):
        text = ""
    if not text or len(text.encode()) > PARAMS_BYTES_MAX:
        raise ValueError("has params that are no table of what JSON can say.")
    return text
