"""Options and kinds of values that several verbs take."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foundation.errors import QuantumError
from foundation.quantities import parse_duration
from foundation.workspace import find_workspace

# Generic in the types of click from 8.5 on, and not before.
if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType


class Duration(_Type):
    """`90s`, `5m`, `1h30m`; a plain number is taken as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it, or fail as click does."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(f"{value}s" if str(value).replace(".", "", 1).isdigit() else str(value))
        except QuantumError as error:
            self.fail(f"{error.message} {error.remedy}", param, ctx)


class Moment(_Type):
    """`2026-12-01T06:00:00Z`; without a zone, the local one."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it as UTC, or fail as click does."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(str(value)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"“{value}” is no moment. Write it like 2026-12-01T06:00:00Z.", param, ctx)


class Pair(_Type):
    """`key=value`, both texts."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Cut it at the first `=`, or fail as click does."""
        if isinstance(value, tuple):
            return value
        key, sign, text = str(value).partition("=")
        if not sign or not key:
            self.fail(f"“{value}” is not of the form key=value.", param, ctx)
        return key, text


def agent_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Completes an agent's name from the export, so that a Tab costs no call and works while nothing runs."""
    try:
        workspace = find_workspace(os.environ, Path.cwd())
        exported = json.loads((workspace.root / "agent_status.json").read_bytes())["agents"]
        return [name for name in exported if name.startswith(incomplete)]
    except (QuantumError, OSError, ValueError, KeyError, TypeError):
        return []  # a completion that cannot help stays silent


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and how much; change nothing.")
debug_option = click.option("--debug", is_flag=True, help="Say more; never a token.")
reason_option = click.option("--reason", default="", help="Why; kept with the record.")


def one_of(given: str | None, *others: str | None, what: str) -> str:
    """The one that was given, of an argument and its spellings as options; a usage error for none or two."""
    named = [text for text in (given, *others) if text]
    if len(named) != 1:
        raise click.UsageError(f"Name {what}, once." if named else f"Which {what}? Name one.")
    return named[0]
