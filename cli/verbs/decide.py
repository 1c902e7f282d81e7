"""`quantum decide`: what becomes of tasks that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cli.options import dry_run_option, json_option
from cli.output.documents import document, documents
from cli.output.printing import counted, emit
from cli.session import Session
from cli.tasks.selection import all_of
from clients.coordinator_values import Decision, TaskFilter, TaskState


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.argument("decision", type=click.Choice([decision.value for decision in Decision]))
@click.option("--agent", default="", help="Every task of this agent that waits for a decision.")
@click.option("--note", default="", help="Why; kept with the task.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    session: Session, ids: Sequence[str], decision: str, agent: str, note: str, dry_run: bool, as_json: bool
) -> None:
    """Decide about tasks, an attempt of which was lost: run them again, or record how they ended.

    By ids, or all those of an agent. There is no undoing it.
    """
    if bool(ids) == bool(agent):
        raise click.UsageError("Name the tasks by their ids, or by --agent.")
    with session.connected() as connected:
        if agent:
            name = connected.call(connected.coordinator.get_agent(agent)).name
            waiting = TaskFilter(states=frozenset({TaskState.NEEDS_DECISION}), agent=name)
            ids = [task.id for task in all_of(connected, waiting)]
        chosen = Decision(decision)
        done = [] if dry_run else [connected.call(connected.coordinator.decide(one, chosen, note=note)) for one in ids]
    if as_json and len(done) == 1 and not agent:
        emit({"task": document(done[0])})
    elif as_json:
        emit({"dry_run": dry_run, "decided": len(ids), "ids": list(ids), "tasks": documents(done)})
    elif dry_run:
        click.echo(f"{counted(len(ids), 'task')} would be decided about.")
    elif not ids:
        click.echo(f"No task of {agent} waits for a decision.")
    for task in () if as_json else done:
        click.echo(f"Task {task.id} ({task.agent}) is {task.state.replace('_', ' ')}.")
