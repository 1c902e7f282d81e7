"""`quantum morning`: six lines and one exit code: is there anything to be done?"""

from __future__ import annotations

import click

from cli.documents import document, documents
from cli.looked import Looked
from cli.morning import Sign, morning
from cli.options import json_option
from cli.printing import emit, printable
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
        next_step = f"  → {line.what_next}" if line.what_next else ""
        click.echo(f"{click.style(sign, fg=colour)} {line.name:9} {printable(line.said)}{next_step}")
    return 0 if found.well else EXIT_LOOK
