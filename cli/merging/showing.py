"""`quantum merge list` and `show`: what was checked, what came of it, and by which evidence."""

from __future__ import annotations

from pathlib import Path

import click

from cli.merging.evidence import lines_of
from cli.merging.place import place_of
from cli.merging.standing import held_in
from cli.merging.words import repo_option
from cli.options import json_option
from cli.output.documents import document, documents
from cli.output.printing import emit, lately, printable, table, took, when
from cli.session import Session
from clients.merges_values import MergeAction, MergeCheckView, MergeEvent

_COMMIT_LENGTH = 10


@click.command("list")
@repo_option
@click.option("--project", default="", help="Those of this project.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--cursor", default="", help="Where the last page ended.")
@json_option
@click.pass_obj
def list_checks(session: Session, repo: Path | None, project: str, limit: int, cursor: str, as_json: bool) -> None:
    """List merge checks, the newest first; with --repo those of one repository."""
    repository = place_of(session, repo).id if repo else ""
    with session.connected() as connected:
        page = connected.call(
            connected.coordinator.merges.list(repository=repository, project=project, limit=limit, cursor=cursor)
        )
        held = {} if as_json else held_in(connected, page.checks)
    if as_json:
        emit({"checks": documents(page.checks), "next": page.next})
        return
    if not page.checks:
        click.echo("No merge has been checked yet.")
        return
    now = session.clock.now()
    rows = [
        (
            check.id,
            lately(check.created_at, now),
            f"{Path(check.folder).name}/{check.branch}" if check.branch else Path(check.folder).name,
            check.new[:_COMMIT_LENGTH] or "-",
            _verdict(check),
            _done(check),
            check.sentence or check.progress or "-",
        )
        for check in page.checks
    ]
    table(("ID", "BEGAN", "BRANCH", "COMMIT", "VERDICT", "DONE", "WHAT CAME OF IT"), rows)
    for folder, reason in held.items():
        click.echo(f"Merges into {printable(folder)} are held: {printable(reason)}")
    if page.next:
        click.echo(f"There are more: quantum merge list --cursor {page.next}", err=True)


@click.command()
@click.argument("check_id", metavar="ID")
@json_option
@click.pass_obj
def show(session: Session, check_id: str, as_json: bool) -> None:
    """Show check ID with its evidence: what was run, on which tree, how often, how it ended; and how to undo it."""
    with session.connected() as connected:
        check = connected.call(connected.coordinator.merges.get(check_id))
    if as_json:
        emit({"check": document(check)})
        return
    lasted = took(check.ended_at - check.created_at) if check.ended_at and check.created_at else ""
    facts = {
        "check": f"{check.id}, task {check.task}" if check.task else check.id,
        "repository": f"{check.folder} ({check.repository})",
        "project": check.project,
        "branch": check.branch,
        "commits": f"{check.old} → {check.new}" if check.old and check.new else check.new,
        "asked by": f"{_asker(check)}, {when(check.created_at)}" + (f", took {lasted}" if lasted else ""),
        "state": "" if check.ended else f"{check.state}: {check.progress}" if check.progress else check.state.value,
        "verdict": _verdict(check) if check.ended else "",
        "done": _done(check) if check.ended else "",
        "which means": check.sentence,
        "undo": check.undo,
        "undone": when(check.undone_at) if check.undone_at else "",
        "only reports": check.only_report_reason,
        "merges held": check.freedom_reason,
    }
    for name, fact in facts.items():
        if fact:
            click.echo(f"{name + ':':14} {printable(fact)}")
    for line in lines_of(check.evidence or {}):
        click.echo(line)


def _asker(check: MergeCheckView) -> str:
    match check.event:
        case None:
            return "not known"
        case MergeEvent.REQUEST:
            return "quantum merge"
        case MergeEvent.RECONCILE:
            return "the pass that looks for merges without a check"
        case _:
            return f"the hook {check.event}"


def _verdict(check: MergeCheckView) -> str:
    return (check.verdict or check.state).replace("_", " ")


def _done(check: MergeCheckView) -> str:
    if check.undone_at:
        return "undone"
    return "-" if check.action in (None, MergeAction.NONE) else check.action.replace("_", " ")
