"""`quantum retry`: runs ended tasks again, as new ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from cli.options import dry_run_option, json_option
from cli.output.printing import counted, emit
from cli.session import Session
from cli.tasks.selection import all_of, filter_of, filter_options, from_option, in_pages, line_for, read_ids
from foundation.ids import random_bytes


@click.command()
@click.argument("ids", nargs=-1)
@from_option
@filter_options
@dry_run_option
@json_option
@click.pass_obj
def command(
    session: Session,
    ids: Sequence[str],
    ids_file: Path | None,
    agent: str,
    project: str,
    states: Sequence[str],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Submit ended tasks again, each as a new task that names the old one. By ids, or by agent, project and state
    (failed and dead ones, unless --state says otherwise)."""
    named = [*ids, *(read_ids(ids_file) if ids_file else [])]
    by_filter = bool(agent or project or states)
    if bool(named) == by_filter:
        raise click.UsageError("Name the tasks by their ids, or by --agent, --project and --state.")
    with session.connected() as connected:
        if by_filter:
            if agent:
                agent = connected.call(connected.coordinator.get_agent(agent)).name
            chosen = filter_of(agent, project, states or ("failed", "dead"))
            named = [task.id for task in all_of(connected, chosen) if task.state.ended]
        if dry_run:
            retried = named
        else:
            retried, key = [], random_bytes(16).hex()
            for number, page in enumerate(in_pages(named)):
                done = connected.call(connected.coordinator.retry(page, idempotency_key=f"{key}-{number}"))
                retried += [task.id for task in done.tasks]
    undo = line_for(session.workspace, "cancel", retried) if retried and not dry_run else None
    if as_json:
        emit({"dry_run": dry_run, "retried": len(retried), "ids": retried, "undo": undo})
        return
    click.echo(f"{counted(len(retried), 'task')} {'would be ' if dry_run else ''}submitted again.")
    if undo:
        click.echo(f"  undo: {undo}")
