"""`quantum submit`: submits one task, or many from standard input, and returns at once."""

from __future__ import annotations

import sys
from typing import Any

import click

from cli.options import json_option
from cli.output.documents import documents
from cli.output.printing import emit
from cli.session import Session
from cli.tasks.specs import STDIN_BYTES_MAX, read_specs, spec_of_options, task_options
from foundation.ids import random_bytes


@click.command()
@task_options
@click.option(
    "--key",
    default="",
    help="Idempotency key: the same key with the same tasks returns the same tasks, for 7 days.",
)
@json_option
@click.pass_obj
def command(session: Session, /, key: str, as_json: bool, **described: Any) -> None:
    """Submit a task of AGENT and print its id. With `-` as AGENT, tasks come as JSON on standard input:
    one, a list, or {"tasks": […]}, each as POST /tasks/queue takes it; all are accepted, or none."""
    many = described["agent"] == "-"
    specs = read_specs(sys.stdin.read(STDIN_BYTES_MAX)) if many else [spec_of_options(**described)]
    with session.connected() as connected:
        # Without a key of the caller's, a random one: a call that is sent again by itself must not submit twice.
        submitted = connected.call(connected.coordinator.submit(specs, idempotency_key=key or random_bytes(16).hex()))
    if as_json:
        emit({"tasks": documents(submitted.tasks), "replayed": submitted.replayed})
        return
    for task in submitted.tasks:
        click.echo(task.id)
    if submitted.replayed:
        click.echo("These were accepted earlier, under the same key.", err=True)
