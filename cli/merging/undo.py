"""`quantum merge undo`: brings back what a check took away, and has that recorded."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import json_option
from cli.output.documents import document
from cli.output.printing import emit, printable
from cli.session import Session
from clients.merges_values import MergeAction, MergeCheckView
from foundation.errors import Conflict, NotFound, QuantumError
from merge_guard.git import Git
from merge_guard.repository import current_branch, open_repository
from merge_guard.undo import undo as bring_back
from merge_guard.values import Action

_SHORT = 12


@click.command()
@click.argument("check_id", metavar="ID")
@json_option
@click.pass_obj
def undo(session: Session, check_id: str, as_json: bool) -> None:
    """Bring back what check ID took away: the branch, index and work tree are as the merge had made them.

    Refused where that would touch anything of yours, or where the branch has gone on. What was brought back is not
    taken away again.
    """
    with session.connected() as connected:
        merges = connected.coordinator.merges
        check = connected.call(merges.get(check_id))
        sentence = _bring_back(check)
        try:
            check = connected.call(merges.record_undone(check_id))
        except QuantumError as error:
            raise type(error)(
                error.code,
                f"{sentence} But that could not be recorded, and it may be taken away again: {error.message}",
                remedy=f"quantum merge undo {check_id} records it.",
            ) from error
    again = f"git reset --keep {check.old[:_SHORT]}"
    if as_json:
        emit({"check": document(check), "sentence": sentence, "undo": again})
        return
    click.echo(printable(sentence))
    click.echo(f"  undo: {again}")


def _bring_back(check: MergeCheckView) -> str:
    """Does it, unless it is done already; what was done, as a sentence. Raises Conflict and NotFound."""
    kept_ref = (check.evidence or {}).get("kept_ref")
    if check.action is not MergeAction.ROLLED_BACK or not isinstance(kept_ref, str) or not kept_ref:
        raise Conflict("nothing_rolled_back", f"Check {check.id} took nothing away.", remedy="quantum merge list")
    folder = Path(check.folder)
    if not folder.is_dir():
        raise NotFound("not_here", f"{folder} is not on this machine: undo it where the repository is.")
    repository = open_repository(folder)
    git = Git(repository.top)
    kept = git.commit_of(kept_ref)
    if kept and git.commit_of("HEAD") == kept and current_branch(git) == check.branch:
        return f"{check.branch or 'HEAD'} is at {kept[:_SHORT]} already."
    done = bring_back(git, repository, branch=check.branch, old=check.old, kept_ref=kept_ref, check_id=check.id)
    if done.action is not Action.MERGED:
        raise Conflict("not_undone", done.sentence)
    return done.sentence
