"""`quantum logs`: a task's output, byte for byte; with `--follow`, until it has ended."""

from __future__ import annotations

import sys
from datetime import timedelta

import click

from cli.logs.logged import lines_of_task
from cli.options import json_option
from cli.output.live import Output
from cli.output.printing import emit
from cli.session import Session
from cli.tasks.following import Follower, exit_code, last_line, terminal_line
from foundation.errors import NotFound

_TICK = timedelta(seconds=1)


@click.command()
@click.argument("task_id", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on until the task has ended; then exit with its code.")
@click.option("--logged", is_flag=True, help="As far back as logs/ reaches, compressed ones too; nothing need run.")
@json_option
@click.pass_obj
def command(session: Session, task_id: str, follow: bool, logged: bool, as_json: bool) -> int:
    """Print what task ID has printed. Ctrl-C leaves; the task goes on.

    Of an output that was too long, the middle is cut; once it is old, only its end is kept. What the logs of the agents
    on this machine have of it is printed by --logged.
    """
    if logged:
        return _show_logged(session, task_id, as_json=as_json)
    return show(session, task_id, follow=follow, as_json=as_json)


def _show_logged(session: Session, task_id: str, *, as_json: bool) -> int:
    lines = lines_of_task(session.workspace.logs, task_id)
    if as_json:
        emit({"task_id": task_id, "output": b"".join(lines).decode(errors="replace")})
        return 0
    found = False
    for line in lines:
        found = True
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    if not found:
        raise NotFound(
            "not_logged",
            f"No log of an agent in {session.workspace.logs} has a line of task {task_id[:40]}.",
            remedy="It ran on another machine, printed nothing, or is so long ago that its lines were removed.",
        )
    return 0


def show(session: Session, task_id: str, *, follow: bool, as_json: bool) -> int:
    """Print a task's output; 0, or the exit code of a task that was followed to its end."""
    with session.connected() as connected:
        if follow and not as_json:
            task = connected.call(connected.coordinator.get_task(task_id))
            output = Output(sys.stdout.buffer)
            ended = Follower(connected, session.clock, output=output, line=terminal_line()).follow(
                task, interrupts=None
            )
            click.echo(last_line(ended), err=True)
            return exit_code(ended)
        chunks = []
        output = Output(None if as_json else sys.stdout.buffer)
        for chunk in connected.stream(connected.coordinator.read_log(task_id, follow=follow), tick=_TICK):
            if chunk is not None:
                chunks.append(chunk.data if as_json else b"")
                output.write(chunk.data)
    if as_json:
        emit({"task_id": task_id, "output": b"".join(chunks).decode(errors="replace")})
    return 0
