"""`quantum runner`: the runners: list, drain, resume; and those of other hosts."""

from __future__ import annotations

import click

from cli.groups import Group
from cli.options import json_option, reason_option
from cli.output.documents import documents
from cli.output.printing import emit, table
from cli.runners import invite, join, remove, start
from cli.runners.showing import labels, memory, services, state_of, taken, why_held
from cli.session import Session


@click.group(cls=Group)
def command() -> None:
    """The runners of the fleet: who is there, what each may get, and which takes no new work."""


@command.command("list")
@json_option
@click.pass_obj
def list_runners(session: Session, as_json: bool) -> None:
    """List the runners that are attached, and those that are drained and away."""
    with session.connected() as connected:
        runners = connected.call(connected.coordinator.list_runners())
    if as_json:
        emit({"runners": documents(runners)})
        return
    if not runners:
        click.echo("No runner is attached, so that nothing can run.  (quantum up)")
        return
    rows = [
        (one.name, one.host or "-", state_of(one), taken(one), services(one), memory(one), labels(one))
        for one in runners
    ]
    table(("RUNNER", "HOST", "STATE", "TASKS", "SERVICES", "MEMORY", "LABELS"), rows)
    for one in runners:
        if why := why_held(one):
            click.echo(f"{one.name}: {why}")


@command.command()
@click.argument("name")
@reason_option
@json_option
@click.pass_obj
def drain(session: Session, name: str, reason: str, as_json: bool) -> None:
    """Let nothing new start on the runner NAME; what runs there runs on. Kept over restarts until `resume`."""
    with session.connected() as connected:
        done = connected.call(connected.coordinator.drain_runner(name, reason=reason))
    undo = f"quantum runner resume {name}"
    if as_json:
        emit({"runner": name, "drained": True, "changed": done.changed, "running": done.running, "undo": undo})
        return
    click.echo(f"Runner {name} {'gets nothing new' if done.changed else 'was drained already'}.")
    if done.running:
        click.echo(f"  still running there: {done.running:,}")
    click.echo(f"  undo: {undo}")


@command.command()
@click.argument("name")
@json_option
@click.pass_obj
def resume(session: Session, name: str, as_json: bool) -> None:
    """Undo `quantum runner drain`."""
    with session.connected() as connected:
        changed = connected.call(connected.coordinator.resume_runner(name))
    if as_json:
        emit({"runner": name, "drained": False, "changed": changed})
    else:
        click.echo(f"Runner {name} takes work again." if changed else f"Nobody had drained runner {name}.")


command.add_command(invite.command, "invite")
command.add_command(join.command, "join")
command.add_command(remove.command, "remove")
command.add_command(start.start)
command.add_command(start.stop)
