"""`quantum morning`: six lines and one exit code: is there anything to be done?"""

from __future__ import annotations

import shutil
import sys

import click

from cli.options import json_option
from cli.output.documents import document, documents
from cli.output.printing import emit, printable
from cli.overview.looked import Looked
from cli.overview.morning import Line, Sign, morning
from cli.session import Session

EXIT_LOOK = 1
_SIGNS = {Sign.WELL: ("✓", "green"), Sign.LOOK: ("!", "yellow"), Sign.UNKNOWN: ("?", "red")}


@click.command()
@click.option("--peek", is_flag=True, help="Do not remember that you looked: failures stay new.")
@json_option
@click.pass_obj
def command(session: Session, peek: bool, as_json: bool) -> int:
    """Say of services, agents, failures since you last looked, budgets, backups and disk whether they are well.

    Exit code 0 when all six are, 1 when one of them needs you or is not known.
    """
    looked = Looked.of(session.workspace)
    found = morning(session, looked)
    if not peek and found.known:
        # What could not be told stays to be told: only failures that were shown are not new any more.
        looked.note(found.looked_at)
    if as_json:
        emit({"well": found.well, "since": document(found.since), "lines": documents(found.lines)})
        return 0 if found.well else EXIT_LOOK
    for line in found.lines:
        sign, colour = _SIGNS[line.sign]
        click.echo(f"{click.style(sign, fg=colour)} {_fitted(line)}")
    return 0 if found.well else EXIT_LOOK


def _fitted(line: Line) -> str:
    """One line, at a terminal as wide as that; what to type next is never what is cut."""
    said, next_step = printable(line.said), f"  → {line.what_next}" if line.what_next else ""
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - len(f"✓ {line.name:9} {next_step}")
        said = said if len(said) <= room else f"{said[: max(0, room - 1)]}…"
    return f"{line.name:9} {said}{next_step}"
