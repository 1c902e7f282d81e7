"""`quantum schedule`: what starts agents by the clock: list, pause, resume, run, why."""

from __future__ import annotations

import click

from cli.groups import Group
from cli.options import agent_names, json_option, reason_option
from cli.output.documents import document, documents
from cli.output.printing import emit, printable, table
from cli.schedules.showing import row, say
from cli.session import Session
from foundation.ids import random_bytes


@click.group(cls=Group)
def command() -> None:
    """What starts agents by the clock. A schedule stands in its agent's manifest.

    NAME is an agent's, for all of its schedules, or agent@project.
    """


@command.command("list")
@json_option
@click.pass_obj
def list_schedules(session: Session, as_json: bool) -> None:
    """List the schedules: when each is due next, in its own time zone, and how its last run came about."""
    with session.connected() as connected:
        found = connected.call(connected.coordinator.schedules.list())
    if as_json:
        emit({"schedules": documents(found)})
        return
    if not found:
        click.echo('There is no schedule.  (a line like schedule = "0 6 * * *" in a manifest makes one)')
        return
    headings = ("NAME", "WHEN", "ZONE", "NEXT", "LAST RUN OF", "LATE", "MISSED", "LAST TASK")
    table(headings, [row(one) for one in found])
    for one in found:
        if one.problem:
            click.echo(f"{one.name}: {printable(one.problem)}")


@command.command()
@click.argument("name", shell_complete=agent_names)
@reason_option
@json_option
@click.pass_obj
def pause(session: Session, name: str, reason: str, as_json: bool) -> None:
    """Let NAME rest until it is resumed, also over restarts; what runs runs on."""
    with session.connected() as connected:
        changed = connected.call(connected.coordinator.schedules.pause(name, reason=reason))
    undo = f"quantum schedule resume {name}"
    if as_json:
        emit({"schedule": name, "paused": True, "changed": changed, "undo": undo})
        return
    click.echo(f"Schedule {name} {'rests' if changed else 'rested already'}.")
    click.echo(f"  undo: {undo}")


@command.command()
@click.argument("name", shell_complete=agent_names)
@json_option
@click.pass_obj
def resume(session: Session, name: str, as_json: bool) -> None:
    """Let NAME go on with its next due time; what was due while it rested is not made up."""
    with session.connected() as connected:
        changed = connected.call(connected.coordinator.schedules.resume(name))
    if as_json:
        emit({"schedule": name, "paused": False, "changed": changed})
    else:
        click.echo(f"Schedule {name} goes on." if changed else f"Schedule {name} did not rest.")


@command.command()
@click.argument("name", shell_complete=agent_names)
@json_option
@click.pass_obj
def run(session: Session, name: str, as_json: bool) -> None:
    """Start now what NAME starts at its times, which stay as they are; print the tasks' ids."""
    with session.connected() as connected:
        schedules = connected.coordinator.schedules
        tasks = connected.call(schedules.run(name, idempotency_key=random_bytes(16).hex()))
    if as_json:
        emit({"tasks": documents(tasks)})
        return
    for task in tasks:
        click.echo(task.id)


@command.command()
@click.argument("name", shell_complete=agent_names)
@json_option
@click.pass_obj
def why(session: Session, name: str, as_json: bool) -> None:
    """Say why nothing of NAME starts now, when it will, and how its last run came about."""
    with session.connected() as connected:
        found = connected.call(connected.coordinator.schedules.why(name))
    if as_json:
        emit(document(found))
        return
    for number, reason in enumerate(found.reasons):
        say(found.schedules[number] if found.schedules else None, reason)
