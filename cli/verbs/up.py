"""`quantum up`: starts everything of a workspace, in the foreground or detached."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from cli.first_start import DONE, Initialised, initialise
from cli.options import Duration, debug_option, json_option
from cli.output.printing import counted, emit
from cli.processes.starting import Plan, detach, plan_start, supervise, supervise_and_tell
from cli.session import Session
from cli.verbs import init
from foundation.errors import NotFound
from foundation.workspace import Workspace, find_workspace

RUNNERS_MAX = 64


@click.command()
@click.option("--detach", "detached", is_flag=True, help="Return when everything is healthy, and leave it running.")
@click.option("--runners", type=click.IntRange(1, RUNNERS_MAX), default=1, show_default=True, help="How many runners.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="[RUNNER:]KEY=VALUE",
    help="What tasks may ask its runners for; with a name before it, one of them: local, local-2, …",
)
@click.option(
    "--timeout",
    type=Duration(),
    default="60s",
    show_default=True,
    help="How long everything may take to be healthy, with --detach.",
)
@debug_option
@click.option("--tell", type=int, hidden=True, help="Descriptor on which to say how the start went.")
@json_option
@click.pass_obj
def command(
    session: Session,
    detached: bool,
    runners: int,
    labels: tuple[str, ...],
    timeout: timedelta,
    debug: bool,
    tell: int | None,
    as_json: bool,
) -> int:
    """Start gateway, coordinator, safety and a runner. Ctrl-C ends everything in order."""
    if tell is not None:
        return supervise_and_tell(session, runners=runners, labels=labels, debug=debug, tell=tell)
    workspace, made = _ready(session)
    if made is not None and not as_json:
        init.say(made)
        click.echo()
    plan = plan_start(session, workspace, runners=runners, labels=labels, debug=debug)

    def healthy(pid: int, first: str) -> None:
        if as_json:
            emit({**_to_document(plan, pid), **({"init": init.to_document(made)} if made else {})})
        else:
            _say_where(plan, first)

    if detached:
        pid = detach(plan, timeout)
        healthy(pid, f"Everything is healthy, as {counted(len(plan.names), 'process')} under process {pid}.")
        return 0
    own = os.getpid()
    code = supervise(session, plan, lambda: healthy(own, "Everything is healthy. Ctrl-C ends it."), capture=not debug)
    if not as_json:
        click.echo("Everything has ended.", err=True)
    return code


def _ready(session: Session) -> tuple[Workspace, Initialised | None]:
    """The workspace, initialised now where that had not been done; what was made, or None."""
    try:
        workspace = find_workspace(session.environ, session.cwd)
    except NotFound as error:
        root = init.chosen_root(session, None)
        if root in (Path.home(), Path(root.anchor)):
            raise NotFound(
                error.code, f"{root} is no workspace, and too large to become one by itself.", remedy=error.remedy
            ) from error
        made = initialise(root, session.environ)
        return made.workspace, made
    if (workspace.state / DONE).exists():
        return workspace, None
    return workspace, initialise(workspace.root, session.environ)


def _to_document(plan: Plan, pid: int) -> dict[str, Any]:
    return {
        "workspace": str(plan.workspace.root),
        "url": plan.url,
        "pid": pid,
        "runners": list(plan.runners),
        "healthy": True,
    }


def _say_where(plan: Plan, first: str) -> None:
    click.echo(first)
    click.echo(f"  {plan.url}/         the status page")
    click.echo("  quantum token show            the token for it, and for X-Auth-Token")
    click.echo("  quantum down                  ends everything")
