"""`quantum cancel`: ends tasks, by their ids, of one agent or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from cli.options import agent_names, dry_run_option, json_option
from cli.output.printing import counted, emit
from cli.session import Connected, Session
from cli.tasks.selection import from_option, in_pages, line_for, open_ids, read_ids
from clients.coordinator_values import TaskState


@click.command()
@click.argument("ids", nargs=-1)
@from_option
@click.option("--agent", default="", shell_complete=agent_names, help="All open tasks of this agent.")
@click.option("--project", default="", help="All open tasks of this project.")
@click.option("--all", "everything", is_flag=True, help="All open tasks there are.")
@click.option("--reason", default="cancelled by hand", show_default=True, help="Why; kept with each task.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    session: Session,
    ids: Sequence[str],
    ids_file: Path | None,
    agent: str,
    project: str,
    everything: bool,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Cancel tasks. Waiting ones end at once; running ones when their processes are proved dead."""
    by_filter = bool(everything or agent or project)
    ids = [*ids, *(read_ids(ids_file) if ids_file else [])]
    if bool(ids) == by_filter or (everything and (agent or project)):
        raise click.UsageError("Name the tasks by their ids, or by --agent and --project, or say --all.")
    with session.connected() as connected:
        if by_filter and agent:
            # An alias or a slip is caught here; a filter by an unknown name would silently mean nothing.
            agent = connected.call(connected.coordinator.get_agent(agent)).name
        chosen = list(ids) or open_ids(connected, agent, project)
        if dry_run:
            found = [connected.call(connected.coordinator.get_task(one)).state for one in ids] if ids else []
            count = sum(not state.ended for state in found) if ids else len(chosen)
            _say_dry(count, as_json)
            return
        cancelled, ended = _cancel(connected, chosen, reason)
    undo = line_for(session.workspace, "retry", [one for one, _ in cancelled]) if cancelled else None
    if as_json:
        tasks = [{"id": one, "state": state} for one, state in cancelled]
        emit({"dry_run": False, "cancelled": len(cancelled), "tasks": tasks, "already_ended": ended, "undo": undo})
        return
    click.echo(f"{counted(len(cancelled), 'task')} cancelled.")
    still = sum(state is not TaskState.CANCELLED for _, state in cancelled)
    if still:
        click.echo(f"  {still} of them ran; {'they are' if still > 1 else 'it is'} being ended.")
    if ended:
        click.echo(f"  {counted(len(ended), 'task')} had ended already; nothing was changed there.")
    if undo:
        click.echo(f"  undo: {undo}")


def _say_dry(count: int, as_json: bool) -> None:
    if as_json:
        emit({"dry_run": True, "cancelled": count})
    else:
        click.echo(f"{counted(count, 'task')} would be cancelled.")


def _cancel(connected: Connected, ids: Sequence[str], reason: str) -> tuple[list[tuple[str, TaskState]], list[str]]:
    """What was cancelled, with the state it is in now, and what had ended before."""
    cancelled: list[tuple[str, TaskState]] = []
    ended: list[str] = []
    for page in in_pages(ids):
        done = connected.call(connected.coordinator.cancel(page, reason=reason))
        cancelled += [(task.id, task.state) for task in done.tasks]
        ended += done.already_ended
    return cancelled, ended
