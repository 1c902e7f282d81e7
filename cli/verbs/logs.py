"""`quantum logs`: a task's output, byte for byte; with `--follow`, until it has ended."""

from __future__ import annotations

import sys
from datetime import timedelta

import click

from cli.following import Follower, exit_code, last_line, terminal_line
from cli.live import Output
from cli.options import json_option
from cli.printing import emit
from cli.session import Session

_TICK = timedelta(seconds=1)


@click.command()
@click.argument("task_id", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on until the task has ended; then exit with its code.")
@json_option
@click.pass_obj
def command(session: Session, task_id: str, follow: bool, as_json: bool) -> int:
    """Print what task ID has printed. Ctrl-C leaves; the task goes on."""
    return show(session, task_id, follow=follow, as_json=as_json)


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
