"""`quantum merge approve`: lets the next merge happen that a spent budget or a freeze holds."""

from __future__ import annotations

from pathlib import Path

import click

from cli.documents import document
from cli.merging.place import place_of
from cli.merging.words import repo_option
from cli.options import json_option
from cli.printing import emit, when
from cli.session import Session


@click.command()
@click.option("--reason", required=True, help="Why; kept, and in the audit log.")
@repo_option
@json_option
@click.pass_obj
def approve(session: Session, reason: str, repo: Path | None, as_json: bool) -> None:
    """Approve the next merge into this repository: good once, for an hour. Lifts a freeze after rollbacks."""
    place = place_of(session, repo)
    with session.connected() as connected:
        until = connected.call(connected.coordinator.merges.approve(place.id, reason=reason))
    if as_json:
        emit({"repository": place.id, "folder": str(place.folder), "until": document(until), "undo": None})
    else:
        click.echo(f"One merge into {place.folder} may be made until {when(until)}: quantum merge BRANCH")
