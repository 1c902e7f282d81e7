"""Starts the processes of a workspace, here or in a supervisor of its own that says through a pipe how it went."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any

from cli.keys.token_rotation import RotationSettings
from cli.processes.bell import Bell
from cli.processes.chore import Chore
from cli.processes.gateway_address import GatewayAddress
from cli.processes.running import read_running, require_free_port, require_no_half_isolation, require_nothing_runs
from cli.processes.spawning import last_words, spawn
from cli.processes.supervisor import Supervisor, programs
from cli.processes.upkeep import renew_certificates, rotate_tokens
from cli.session import Session
from cli.workspace.refusals import refused
from foundation.errors import Internal, Invalid, Kind, QuantumError, TimedOut, for_kind
from foundation.log import configure, get_logger
from foundation.own_python import child_environment
from foundation.settings import load
from foundation.workspace import Workspace, WorkspaceLock

log = get_logger("up")

_END_SECONDS = 60
ROTATION_PAUSE_SECONDS_MIN = 1.0
RENEWAL_PAUSE_SECONDS = 6 * 3600.0
_EXIT_BY_SIGNAL = {signal.SIGINT: 130, signal.SIGHUP: 129}
"""SIGTERM is how a service is ended as it should be: 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """The settings that the supervisor itself honours."""

    gateway_host: str
    gateway_port: int
    stop_grace_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to start, and where."""

    workspace: Workspace
    gateway: GatewayAddress
    runners: tuple[str, ...]
    labels: tuple[str, ...]
    """As they were typed: `key=value` for every runner, `name:key=value` for one."""
    debug: bool
    stop_grace_seconds: float
    environ: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all processes."""
        return ("safety", "coordinator", *(f"runner-{name}" for name in self.runners), "gateway")

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self.gateway.url


def plan_start(session: Session, workspace: Workspace, *, runners: int, labels: tuple[str, ...], debug: bool) -> Plan:
    """Check what can be checked before anything is started. Raises Conflict, Denied, Invalid."""
    require_no_half_isolation(workspace)
    require_nothing_runs(workspace)
    labels_of_runners(_names(runners), labels)
    settings = load(UpSettings, environ=session.environ, workspace=workspace)
    port = require_free_port(settings.gateway_host, settings.gateway_port)
    return _plan(session, workspace, settings, port, runners, labels, debug)


def _plan(
    session: Session,
    workspace: Workspace,
    settings: UpSettings,
    port: int,
    runners: int,
    labels: tuple[str, ...],
    debug: bool,
) -> Plan:
    return Plan(
        workspace=workspace,
        gateway=GatewayAddress(settings.gateway_host, port),
        runners=_names(runners),
        labels=labels,
        debug=debug,
        stop_grace_seconds=settings.stop_grace_seconds,
        # A port that was chosen just now stays the same when the gateway is started again.
        environ={**session.environ, "QUANTUM_GATEWAY_PORT": str(port)},
    )


def _names(runners: int) -> tuple[str, ...]:
    return tuple("local" if number == 1 else f"local-{number}" for number in range(1, runners + 1))


def labels_of_runners(names: Sequence[str], labels: Sequence[str]) -> dict[str, list[str]]:
    """What each runner is started with, by its name. Raises Invalid for a label of a runner that is not started."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for label in labels:
        name, colon, rest = label.partition(":")
        if not colon or "=" in name:
            for each in found.values():
                each.append(label)
        elif name in found:
            found[name].append(rest)
        else:
            raise Invalid("unknown_runner", f"No runner {name} is started here, but {', '.join(names)}.")
    return found


def supervise(session: Session, plan: Plan, on_healthy: Callable[[], None], *, capture: bool) -> int:
    """Hold the workspace and keep its processes running until a signal asks for the end; the exit code.

    With `capture` their words go to files. Raises Conflict when the workspace is held, Unavailable when one of them
    does not start.
    """
    with WorkspaceLock(plan.workspace.lock_file):
        configure("up", system_log=plan.workspace.system_log, debug=plan.debug)
        wanted = programs(
            plan.workspace,
            runners=labels_of_runners(plan.runners, plan.labels),
            debug=plan.debug,
            stop_seconds=plan.stop_grace_seconds,
            capture=capture,
        )
        _renew_identities(session, plan)
        settings = load(RotationSettings, environ=plan.environ, workspace=plan.workspace)
        rotation_pause = min(settings.token_overlap_seconds / 3, settings.token_rotation_seconds / 4)
        rotation = Chore(
            name="Replacing tokens by new ones",
            pause_seconds=max(rotation_pause, ROTATION_PAUSE_SECONDS_MIN),
            work=lambda: _look_at_tokens(plan),
            due_at=session.clock.boottime() + ROTATION_PAUSE_SECONDS_MIN,
        )
        chore = Chore(
            name="Renewing the identities of the services",
            pause_seconds=RENEWAL_PAUSE_SECONDS,
            work=lambda: _keep_identities(session, plan),
            due_at=session.clock.boottime() + RENEWAL_PAUSE_SECONDS,
        )
        supervisor = Supervisor(plan.workspace, wanted, plan.gateway, plan.environ, session.clock, [chore, rotation])
        with Bell() as bell:
            supervisor.run(bell, on_healthy)
    return _EXIT_BY_SIGNAL.get(signal.Signals(bell.stop_signal), 0) if bell.stop_signal else 0


def _keep_identities(session: Session, plan: Plan) -> None:
    """The same while everything runs. The gateway reads its identity once: it is ended, drained, and started again."""
    if "gateway" in _renew_identities(session, plan):
        running = read_running(plan.workspace)
        if running is not None and (gateway := running.alive.get("gateway")):
            gateway.send(signal.SIGTERM)


def _look_at_tokens(plan: Plan) -> None:
    rotate_tokens(plan.workspace, plan.environ, log)


def _renew_identities(session: Session, plan: Plan) -> list[str]:
    workspace = plan.workspace
    return renew_certificates(workspace, session.secrets_of(workspace), plan.environ, log, now=session.clock.now())


def detach(plan: Plan, timeout: timedelta) -> int:
    """Start a supervisor in a session of its own and wait until it says that all is healthy; its pid.

    Raises what it raised; TimedOut when it did not say so in time. Then, and at Ctrl-C, everything is ended again.
    """
    near, far = os.pipe()
    with os.fdopen(near, "rb") as answer:
        child = _start_supervisor(plan, far)
        try:
            said = _read_answer(answer, timeout)
        except BaseException:
            _end(child)
            raise
    if said is None:
        _end(child)
        raise TimedOut(
            "not_healthy",
            f"Not everything was healthy within {timeout.total_seconds():.0f} s, so that it was ended again. "
            f"{_all_last_words(plan)}".strip(),
            remedy=f"More is in {plan.workspace.logs}; quantum doctor looks for the cause.",
        )
    document = json.loads(said or b"{}")
    if document.get("healthy"):
        return child.pid
    child.wait(_END_SECONDS)
    error = document.get("error")
    if error is None:
        words = last_words(plan.workspace.logs / "up.out", lines=3) or "it did not say why"
        raise Internal("up_failed", f"It did not start: {words}.")
    raise for_kind(Kind(error["kind"]))(error["code"], error["message"], remedy=error["remedy"])


def supervise_and_tell(session: Session, *, runners: int, labels: tuple[str, ...], debug: bool, tell: int) -> int:
    """Supervise for `detach`, which waits for one line at the other end of the pipe `tell`."""
    with os.fdopen(tell, "wb") as pipe:

        def say(document: Mapping[str, Any]) -> None:
            try:
                pipe.write(json.dumps(document).encode() + b"\n")
                pipe.flush()
            except BrokenPipeError:
                return  # whoever asked has gone; the system is as healthy without them

        try:
            workspace = session.workspace
            settings = load(UpSettings, environ=session.environ, workspace=workspace)
            # `detach` has made sure that the port is free, and named it.
            plan = _plan(session, workspace, settings, settings.gateway_port, runners, labels, debug)
            return supervise(session, plan, lambda: say({"healthy": True}), capture=True)
        except (QuantumError, PermissionError) as failure:
            error = refused(failure) if isinstance(failure, PermissionError) else failure
            kind = str(error.kind)
            say({"error": {"kind": kind, "code": error.code, "message": error.message, "remedy": error.remedy}})
            raise


def _start_supervisor(plan: Plan, tell: int) -> subprocess.Popen[bytes]:
    root, out = plan.workspace.root, plan.workspace.logs / "up.out"
    argv = [
        *(sys.executable, "-m", "cli", "--workspace", str(root), "up"),
        *("--runners", str(len(plan.runners)), "--tell", str(tell), *(("--debug",) if plan.debug else ())),
        *(part for label in plan.labels for part in ("--label", label)),
    ]
    return spawn(argv, folder=root, out=out, environ=child_environment(plan.environ), tell=tell)


def _read_answer(answer: IO[bytes], timeout: timedelta) -> bytes | None:
    """What the supervisor says; empty when it ended without a word, None when it said nothing in time."""
    ready, _, _ = select.select([answer], [], [], timeout.total_seconds())
    return answer.readline() if ready else None


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _all_last_words(plan: Plan) -> str:
    words = [(name, last_words(plan.workspace.logs / f"{name}.out", lines=2)) for name in plan.names]
    return " ".join(f"{name} said last: {said}." for name, said in words if said)
