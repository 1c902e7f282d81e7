"""`quantum run`: submits a task, follows it live, and exits with the agent's own exit code."""

from __future__ import annotations

import signal
import sys
from typing import Any

import click

from cli.options import json_option
from cli.output.documents import document
from cli.output.live import Output
from cli.output.printing import emit, printable
from cli.session import Session
from cli.tasks.following import (
    EXIT_BY_SIGNAL,
    EXIT_CANCELLED,
    Follower,
    Interrupts,
    exit_code,
    last_line,
    terminal_line,
)
from cli.tasks.specs import spec_of_options, task_options
from clients.coordinator_values import TaskState
from foundation.ids import random_bytes


@click.command()
@task_options
@json_option
@click.pass_obj
def command(session: Session, /, as_json: bool, **described: Any) -> int:
    """Run AGENT and follow it: its output on standard output, its exit code as ours. Ctrl-C cancels it."""
    spec = spec_of_options(**described)
    # With --json standard output holds one document and nothing else; the output's tail is in it.
    output = Output(None if as_json else sys.stdout.buffer)
    with session.connected() as connected, Interrupts() as interrupts:
        coordinator = connected.coordinator
        submitted = connected.call(coordinator.submit([spec], idempotency_key=random_bytes(16).hex()))
        task = submitted.tasks[0]
        follower = Follower(connected, session.clock, output=output, line=terminal_line())
        try:
            ended = follower.follow(task, interrupts=interrupts)
        except KeyboardInterrupt:
            click.echo(f"Left while task {task.id} is still being ended: quantum tasks {task.id}", err=True)
            return EXIT_CANCELLED
        # With what only the task itself tells: the tail of its output, and why its report was not taken.
        ended = connected.call(coordinator.get_task(task.id))
    code = exit_code(ended)
    if interrupts.count and ended.state is TaskState.CANCELLED:
        code = EXIT_BY_SIGNAL + signal.Signals(interrupts.number)
    if as_json:
        emit({"task": document(ended), "exit_code": code})
        return code
    if not output.at_line_start and sys.stderr.isatty():
        click.echo(err=True)
    if ended.state is not TaskState.SUCCEEDED or sys.stderr.isatty():
        click.echo(last_line(ended), err=True)
    if ended.report_fault:
        click.echo(f"Its report was not taken: {printable(ended.report_fault)}.", err=True)
    if ended.state is TaskState.NEEDS_DECISION:
        click.echo(f"  → quantum decide {ended.id} run_again|failed|succeeded", err=True)
    return code
