"""Prints documents, tables and moments; rich is loaded only to draw on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import click

_STYLES = {
    "succeeded": "green",
    "closed": "green",
    "serving": "green",
    "idle": "green",
    "running": "cyan",
    "queued": "blue",
    "failed": "red",
    "dead": "red",
    "open": "red",
    "forced_open": "red",
    "invalid": "red",
    "needs_decision": "yellow",
    "held": "yellow",
    "half_open": "yellow",
}


def emit(document: Any) -> None:
    """Print one JSON document: indented for a person at a terminal, on one line for a program."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings: fitted to a terminal, else as aligned plain text with nothing cut."""
    if sys.stdout.isatty():
        _draw(headings, rows)
        return
    lines = [headings, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headings))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        last = number == len(headings) - 1
        drawn.add_column(heading, no_wrap=not last, overflow="ellipsis")
    for row in rows:
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(drawn)


def counted(number: int, noun: str) -> str:
    """`1 task`, `3 tasks`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def when(moment: datetime | None) -> str:
    """A moment in local time to the second; `-` when there is none."""
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def took(duration: timedelta | None) -> str:
    """A duration as one reads it: `0.42 s`, `12.3 s`, `3 min 20 s`; `-` when it is not known."""
    if duration is None:
        return "-"
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def share(number: float | None) -> str:
    """A share as per cent; `-` when it is not known."""
    return "-" if number is None else f"{number:.0%}"
