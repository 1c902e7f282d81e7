"""`quantum down`: ends everything that `up` started, and returns when it is gone."""

from __future__ import annotations

from datetime import timedelta

import click

from cli.options import Duration, dry_run_option, json_option
from cli.output.printing import counted, emit
from cli.processes.identity import to_json
from cli.processes.running import end, read_running, targets
from cli.service.acting import installed
from cli.session import Session
from cli.verbs.service import stop_and_say


@click.command()
@click.option(
    "--timeout",
    type=Duration(),
    default="45s",
    show_default=True,
    help="How long to wait for an orderly end before what is left is killed.",
)
@dry_run_option
@json_option
@click.pass_obj
def command(session: Session, timeout: timedelta, dry_run: bool, as_json: bool) -> None:
    """End what `up` started, also what a killed `up` left behind, or the services. Queued tasks stay queued."""
    workspace = session.workspace
    running = read_running(workspace)
    if running.units if running is not None else installed(workspace, session.environ):
        # Units of which nothing runs may be about to start again: after a crash, or at the next login.
        stop_and_say(session, dry_run=dry_run, as_json=as_json)
        return
    ended = targets(workspace) if dry_run else end(workspace, within=timeout, clock=session.clock)
    if as_json:
        emit({"dry_run": dry_run, "ended": len(ended), "processes": to_json(ended)})
        return
    if not ended:
        click.echo(f"Nothing runs in {workspace.root}.")
        return
    names = ", ".join(f"{name} ({one.pid})" if str(one.pid) not in name else name for name, one in ended.items())
    if dry_run:
        click.echo(f"{counted(len(ended), 'process')} would be ended: {names}.")
    else:
        click.echo(f"{counted(len(ended), 'process')} ended, each proved gone. quantum up --detach starts them again.")
