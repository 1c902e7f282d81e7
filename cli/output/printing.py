"""Prints documents, tables and moments; rich is loaded only to draw on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import click

_GAP = 2
_LAST_COLUMN_MIN = 10
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
    indent = 2 if sys.stdout.isatty() else None
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:  # the name of a file that is not UTF-8: only an escape can say it
        text = json.dumps(document, indent=indent)
    click.echo(text)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings: fitted to a terminal, else as aligned plain text with nothing cut."""
    rows = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(headings, rows)
        return
    lines = [headings, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headings))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """A text from elsewhere, in which nothing moves a terminal's cursor or rings its bell: `�` stands for each."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """All columns as wide as they are, and the last one as far as there is room; without any, it is left out."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    room = console.width - sum(widths[:-1]) - _GAP * (len(widths) - 1)
    shown = len(widths) if room >= min(_LAST_COLUMN_MIN, widths[-1]) else len(widths) - 1
    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for number in range(shown):
        width = widths[number] if number < len(widths) - 1 else min(room, widths[number])
        drawn.add_column(headings[number], no_wrap=True, overflow="ellipsis", min_width=width, max_width=width)
    for row in rows:
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row[:shown]))
    console.print(drawn, soft_wrap=shown < len(widths))


def counted(number: int, noun: str) -> str:
    """`1 task`, `3 tasks`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def when(moment: datetime | None) -> str:
    """A moment in local time to the second; `-` when there is none."""
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def lately(moment: datetime | None, now: datetime) -> str:
    """A moment for a table: the time of day when it is of the last twelve hours, else the date; `-` without one."""
    if moment is None:
        return "-"
    near = abs(now - moment) < timedelta(hours=12)
    return moment.astimezone().strftime("%H:%M:%S" if near else "%Y-%m-%d")


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
