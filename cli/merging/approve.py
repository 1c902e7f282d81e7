"""`quantum merge approve`: lets the next merge happen that a spent budget or a freeze holds."""

from __future__ import annotations

from pathlib import Path

import click

from cli.merging.place import place_of
from cli.merging.words import repo_option
from cli.options import json_option
from cli.output.documents import document
from cli.output.printing import emit, when
from cli.session import Session


@click.command()
@click.argument("repository", required=False)
@click.option("--reason", required=True, help="Why; kept, and in the audit log.")
@repo_option
@json_option
@click.pass_obj
def approve(session: Session, repository: str | None, reason: str, repo: Path | None, as_json: bool) -> None:
    """Approve the next merge into a repository: good once, for an hour. Lifts a freeze after rollbacks.

    REPOSITORY is its id; else the one of --repo, or that we are in.
    """
    if repository and repo:
        raise click.UsageError("Name the repository by its id or by --repo, not both.")
    named = repository or place_of(session, repo).id
    with session.connected() as connected:
        until = connected.call(connected.coordinator.merges.approve(named, reason=reason))
    if as_json:
        emit({"repository": named, "until": document(until), "undo": None})
    else:
        click.echo(f"One merge may be made there until {when(until)}: quantum merge BRANCH")
