"""`quantum decide`: what becomes of a task that waits for a person."""

from __future__ import annotations

import click

from cli.documents import document
from cli.options import json_option
from cli.printing import emit
from cli.session import Session
from clients.coordinator_values import Decision


@click.command()
@click.argument("task_id", metavar="ID")
@click.argument("decision", type=click.Choice([decision.value for decision in Decision]))
@click.option("--note", default="", help="Why; kept with the task.")
@json_option
@click.pass_obj
def command(session: Session, task_id: str, decision: str, note: str, as_json: bool) -> None:
    """Decide about task ID, an attempt of which was lost: run it again, or record how it ended."""
    with session.connected() as connected:
        task = connected.call(connected.coordinator.decide(task_id, Decision(decision), note=note))
    if as_json:
        emit({"task": document(task)})
    else:
        click.echo(f"Task {task.id} ({task.agent}) is {task.state.replace('_', ' ')}.")
