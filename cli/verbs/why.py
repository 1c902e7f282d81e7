"""`quantum why`: the one reason why a task is where it is."""

from __future__ import annotations

import click

from cli.options import json_option
from cli.output.documents import document
from cli.output.printing import emit, printable, when
from cli.session import Session


@click.command()
@click.argument("task_id", metavar="ID")
@json_option
@click.pass_obj
def command(session: Session, task_id: str, as_json: bool) -> None:
    """Say why task ID is not running, or what became of it; by the same decision that dispatch uses."""
    with session.connected() as connected:
        found = connected.call(connected.coordinator.explain(task_id))
    if as_json:
        emit(document(found))
        return
    state = "" if found.task.state.ended else f" is {found.task.state.replace('_', ' ')}"  # the sentence says how
    click.echo(f"{found.task.agent}{state}: {printable(found.sentence)}")
    if found.until:
        click.echo(f"  until {when(found.until)}")
    if found.remedy:
        click.echo(f"  → {found.remedy}")
