"""`quantum up`: starts everything of a workspace, in the foreground or detached."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import click

from cli.bell import Bell
from cli.first_start import Initialised, initialise
from cli.options import Duration, debug_option, json_option
from cli.printing import counted, emit
from cli.running import require_free_port, require_nothing_runs
from cli.session import Session
from cli.supervisor import Supervisor, child_environment, last_words, open_capped, programs
from cli.verbs import init
from foundation.errors import Internal, Invalid, NotFound, QuantumError, TimedOut, for_kind
from foundation.errors import Kind as ErrorKind
from foundation.log import configure
from foundation.settings import load
from foundation.workspace import Workspace, WorkspaceLock, find_workspace

RUNNERS_MAX = 64
_END_SECONDS = 60
_EXIT_BY_SIGNAL = {signal.SIGINT: 130, signal.SIGHUP: 129}
"""SIGTERM is how a service is ended as it should be: 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """The settings that the supervisor itself honours."""

    gateway_port: int
    stop_grace_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to start, and where."""

    workspace: Workspace
    port: int
    runners: tuple[str, ...]
    debug: bool
    stop_grace_seconds: float
    environ: Mapping[str, str]

    @property
    def url(self) -> str:
        """The gateway's address."""
        return f"http://localhost:{self.port}"


@click.command()
@click.option("--detach", is_flag=True, help="Return when everything is healthy, and leave it running.")
@click.option("--runners", type=click.IntRange(1, RUNNERS_MAX), default=1, show_default=True, help="How many runners.")
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
    session: Session, detach: bool, runners: int, timeout: timedelta, debug: bool, tell: int | None, as_json: bool
) -> int:
    """Start gateway, coordinator, safety and a runner. Ctrl-C ends everything in order."""
    if tell is not None:
        return _told(session, runners, debug, tell)
    workspace, made = _ready(session)
    if made is not None and not as_json:
        init.say(made)
        click.echo()
    plan = _plan(session, workspace, runners, debug)
    document = {**_to_document(plan), **({"init": init.to_document(made)} if made else {})}
    if detach:
        pid = _detach(plan, runners, timeout)
        if as_json:
            emit({**document, "pid": pid})
        else:
            _say_where(plan, f"Everything is healthy, as {counted(3 + runners, 'process')} under process {pid}.")
        return 0

    def healthy() -> None:
        if as_json:
            emit({**document, "pid": os.getpid()})
        else:
            _say_where(plan, "Everything is healthy. Ctrl-C ends it.")

    with WorkspaceLock(workspace.lock_file):
        code = _supervise(session, plan, healthy, capture=not debug)
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
    if (workspace.state / "initialised").exists():
        return workspace, None
    made = initialise(workspace.root, session.environ)
    return workspace, made


def _plan(session: Session, workspace: Workspace, runners: int, debug: bool) -> Plan:
    """Check what can be checked before anything is started. Raises Conflict, Denied, Invalid."""
    require_nothing_runs(workspace)
    settings = load(UpSettings, environ=session.environ, workspace=workspace)
    port = require_free_port(settings.gateway_port)
    return Plan(
        workspace=workspace,
        port=port,
        runners=tuple("local" if number == 1 else f"local-{number}" for number in range(1, runners + 1)),
        debug=debug,
        stop_grace_seconds=settings.stop_grace_seconds,
        environ={**session.environ, "QUANTUM_GATEWAY_PORT": str(port)},
    )


def _supervise(session: Session, plan: Plan, healthy: Any, *, capture: bool) -> int:
    configure("up", system_log=plan.workspace.system_log, debug=plan.debug)
    wanted = programs(
        plan.workspace, runners=plan.runners, debug=plan.debug, stop_seconds=plan.stop_grace_seconds, capture=capture
    )
    supervisor = Supervisor(plan.workspace, wanted, plan.port, plan.environ, session.clock)
    with Bell() as bell:
        supervisor.run(bell, healthy)
    return _EXIT_BY_SIGNAL.get(signal.Signals(bell.stop_signal), 0) if bell.stop_signal else 0


def _detach(plan: Plan, runners: int, timeout: timedelta) -> int:
    """Start a supervisor of its own session and wait until it says that all is healthy; its pid.

    Raises what it raised; TimedOut when it did not say so in time, with everything ended again.
    """
    out = plan.workspace.logs / "up.out"
    near, far = os.pipe()
    with ExitStack() as stack:
        answer = stack.enter_context(os.fdopen(near, "rb"))
        log = open_capped(out)
        try:
            child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cli", "--workspace", str(plan.workspace.root), "up"),
                    *("--runners", str(runners), "--tell", str(far), *(("--debug",) if plan.debug else ())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=child_environment(plan.environ),
                cwd=plan.workspace.root,
                start_new_session=True,
                pass_fds=(far,),
            )
        finally:
            os.close(far)
            os.close(log)
        try:
            said = _read_answer(answer, timeout)
        except BaseException:
            # Also at Ctrl-C: nothing half-started stays behind.
            _end(child)
            raise
        if said is None:
            _end(child)
            raise TimedOut(
                "not_healthy",
                f"Not everything was healthy within {timeout.total_seconds():.0f} s, so that it was ended again. "
                f"{_who_is_to_blame(plan)}".strip(),
                remedy=f"More is in {plan.workspace.logs}; quantum doctor looks for the cause.",
            )
    if not said:
        child.wait(_END_SECONDS)
        raise Internal("up_failed", f"It did not start: {last_words(out, lines=3) or 'it did not say why'}.")
    document = json.loads(said)
    if "error" in document:
        child.wait(_END_SECONDS)
        error = document["error"]
        raise for_kind(ErrorKind(error["kind"]))(error["code"], error["message"], remedy=error["remedy"])
    return child.pid


def _read_answer(answer: IO[bytes], timeout: timedelta) -> bytes | None:
    """What the supervisor says; empty when it ended without a word, None when it said nothing in time."""
    import select

    ready, _, _ = select.select([answer], [], [], timeout.total_seconds())
    return answer.readline() if ready else None


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _who_is_to_blame(plan: Plan) -> str:
    names = ("safety", "coordinator", *(f"runner-{name}" for name in plan.runners), "gateway")
    words = [(name, last_words(plan.workspace.logs / f"{name}.out", lines=2)) for name in names]
    return " ".join(f"{name} said last: {said}." for name, said in words if said)


def _told(session: Session, runners: int, debug: bool, tell: int) -> int:
    """Supervise for a detached `up`, which waits at the other end of a pipe for one line."""
    with os.fdopen(tell, "wb") as pipe:

        def say(document: Mapping[str, Any]) -> None:
            try:
                pipe.write(json.dumps(document).encode() + b"\n")
                pipe.flush()
            except BrokenPipeError:
                return  # whoever asked has gone; the system is as healthy without them

        try:
            workspace = session.workspace
            with WorkspaceLock(workspace.lock_file):
                plan = _plan_again(session, workspace, runners, debug)
                return _supervise(session, plan, lambda: say({"healthy": True}), capture=True)
        except QuantumError as error:
            kind = str(error.kind)
            say({"error": {"kind": kind, "code": error.code, "message": error.message, "remedy": error.remedy}})
            raise


def _plan_again(session: Session, workspace: Workspace, runners: int, debug: bool) -> Plan:
    """The plan of the one that started us, which has checked it and chose the port."""
    settings = load(UpSettings, environ=session.environ, workspace=workspace)
    if not settings.gateway_port:
        raise Invalid("no_port", "A detached supervisor must be told its port.")
    return Plan(
        workspace=workspace,
        port=settings.gateway_port,
        runners=tuple("local" if number == 1 else f"local-{number}" for number in range(1, runners + 1)),
        debug=debug,
        stop_grace_seconds=settings.stop_grace_seconds,
        environ=session.environ,
    )


def _to_document(plan: Plan) -> dict[str, Any]:
    return {"workspace": str(plan.workspace.root), "url": plan.url, "runners": list(plan.runners), "healthy": True}


def _say_where(plan: Plan, first: str) -> None:
    click.echo(first)
    click.echo(f"  {plan.url}/         the status page")
    click.echo("  quantum token show            the token for it, and for X-Auth-Token")
    click.echo("  quantum down                  ends everything")
