"""`quantum follow`: what the tasks of an agent print, live, each line with its time and task."""

from __future__ import annotations

import re
import sys
import threading

import click

from cli.logs.tailing import Tail
from cli.options import agent_names, json_option, one_of
from cli.output.printing import emit
from cli.session import Session
from cli.verbs import logs
from foundation.errors import Invalid, Unavailable

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TASK = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")
_LOOK_SECONDS = 0.2


@click.command()
@click.argument("agent", required=False, shell_complete=agent_names)
@click.option("--agent", "agent_option", help="The agent, as the runbook writes it.")
@click.option(
    "--lines", "-n", type=click.IntRange(0), default=10, show_default=True, help="How many of the last first."
)
@click.option("--follow/--no-follow", default=True, help="Go on until Ctrl-C, or print the last lines and end.")
@json_option
@click.pass_obj
def command(
    session: Session, agent: str | None, agent_option: str | None, lines: int, follow: bool, as_json: bool
) -> int:
    """Follow logs/agent_<AGENT>.log. With --json, its last lines as one document. The id of a task is followed too."""
    named = one_of(agent, agent_option, what="agent")
    if _TASK.fullmatch(named):
        return logs.show(session, named, follow=follow, as_json=as_json)
    name = _known(session, named)
    tail = Tail(session.workspace.logs / f"agent_{name}.log")
    try:
        last = tail.last(lines)
        if as_json:
            emit({"agent": name, "lines": [line.decode(errors="replace") for line in last]})
            return 0
        _print(last)
        pause = threading.Event()
        while follow:
            pause.wait(_LOOK_SECONDS)
            _print(list(tail.more()))
        return 0
    finally:
        tail.close()


def _known(session: Session, name: str) -> str:
    """The agent's own name, by the coordinator; while that is away, a name that could be one and has a log."""
    if not _NAME.fullmatch(name):
        raise Invalid("bad_name", f"“{name[:80]}” cannot be the name of an agent.", remedy="quantum agents lists them.")
    try:
        with session.connected() as connected:
            return connected.call(connected.coordinator.get_agent(name)).name
    except Unavailable:
        if (session.workspace.logs / f"agent_{name}.log").exists():
            return name
        raise


def _print(lines: list[bytes]) -> None:
    if lines:
        sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
        sys.stdout.buffer.flush()
