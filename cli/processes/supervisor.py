"""Keeps the processes of one workspace running: starts, restarts with backoff, ends them in order."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.processes.bell import Bell
from cli.processes.chore import Chore
from cli.processes.gateway_address import GatewayAddress
from cli.processes.identity import Process, process, to_json
from cli.processes.spawning import last_words, spawn
from foundation.clock import Clock
from foundation.errors import Unavailable
from foundation.files import atomic_write
from foundation.log import get_logger
from foundation.own_python import child_environment
from foundation.workspace import Workspace

log = get_logger("up")

FIRST_BACKOFF_SECONDS = 0.2
BACKOFF_SECONDS_MAX = 30.0
STEADY_SECONDS = 10.0
POLL_SECONDS = 0.1
START_FAILURES_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process to keep running. Those of a later stage need the earlier ones: started after, ended before them.

    `end_seconds` is how long it may take to end by itself after a SIGTERM. `out` takes what it writes to standard
    output and error; None leaves that on ours. `door` is the socket on which it answers once it is there.
    """

    name: str
    argv: tuple[str, ...]
    end_seconds: float
    stage: int = 0
    out: Path | None = None
    door: Path | None = None


@dataclass(slots=True, eq=False)
class _Kept:
    program: Program
    child: subprocess.Popen[bytes] | None = None
    identity: Process | None = None
    started_at: float = 0.0
    failures: int = 0
    start_again_at: float = 0.0


def programs(
    workspace: Workspace, *, runners: Mapping[str, Sequence[str]], debug: bool, stop_seconds: float, capture: bool
) -> list[Program]:
    """The processes of a workspace, in the order of start; with `capture` what they say goes to `logs/<name>.out`.

    `runners` has the labels that each is started with, by its name.
    """
    sockets = workspace.make_sockets()
    tail = ("--workspace", str(workspace.root), *(("--debug",) if debug else ()))

    def program(name: str, *module: str, end_seconds: float, stage: int) -> Program:
        out = workspace.logs / f"{name}.out" if capture else None
        argv = (sys.executable, "-m", *module, *tail)
        door = None if name == "gateway" else sockets / f"{name}.sock"
        return Program(name=name, argv=argv, end_seconds=end_seconds, stage=stage, out=out, door=door)

    return [
        program("safety", "services.safety", end_seconds=5, stage=0),
        program("coordinator", "services.coordinator", end_seconds=8, stage=1),
        *(
            program(
                f"runner-{name}",
                *("services.agent_runner", "--name", name),
                *(part for label in labels for part in ("--label", label)),
                end_seconds=stop_seconds + 5,
                stage=2,
            )
            for name, labels in runners.items()
        ),
        program("gateway", "gateway", end_seconds=12, stage=3),
    ]


class Supervisor:
    """One owner per process: each is started here, restarted here with a growing delay, and ended here."""

    def __init__(
        self,
        workspace: Workspace,
        wanted: Sequence[Program],
        gateway: GatewayAddress,
        environ: Mapping[str, str],
        clock: Clock,
        chores: Sequence[Chore] = (),
    ) -> None:
        self._workspace = workspace
        self._chores = chores
        self._kept = [_Kept(program) for program in wanted]
        self._gateway = gateway
        self._environ = child_environment(environ)
        self._clock = clock
        self._healthy = False

    def run(self, bell: Bell, on_healthy: Callable[[], None]) -> None:
        """Run until the bell says stop; call `on_healthy` once, when the gateway first says that all is well.

        Raises Unavailable, with its last words, when a process ends five times in a row before that.
        """
        try:
            while not bell.stopping:
                for chore in self._chores:
                    chore.do_when_due(self._clock.boottime(), log)
                for kept in self._kept:
                    self._keep(kept)
                if not self._healthy and self._all_is_well():
                    self._healthy = True
                    on_healthy()
                if not bell.stopping:
                    bell.wait(self._pause())
        finally:
            self._end_all(bell)

    def _all_is_well(self) -> bool:
        """Whether every process answers and the gateway, which does not know how many runners to expect, is content."""
        doors = [kept.program.door for kept in self._kept]
        return all(door is None or answers(door) for door in doors) and self._gateway.health(self._workspace) == "ok"

    def processes(self) -> dict[str, Process]:
        """Those that run, by name."""
        return {kept.program.name: kept.identity for kept in self._kept if kept.identity is not None}

    def _pause(self) -> float | None:
        """How long to wait: None while all run and nothing is due, since the end of one is a signal by itself."""
        if not self._healthy:
            return POLL_SECONDS
        waiting = [kept.start_again_at for kept in self._kept if kept.child is None]
        waiting += [chore.due_at for chore in self._chores]
        return max(0.0, min(waiting) - self._clock.boottime()) if waiting else None

    def _keep(self, kept: _Kept) -> None:
        now = self._clock.boottime()
        if kept.child is None:
            if now >= kept.start_again_at:
                self._start(kept, now)
            return
        code = kept.child.poll()
        if code is None:
            return
        lived = now - kept.started_at
        kept.child = kept.identity = None
        kept.failures = 1 if lived > STEADY_SECONDS else kept.failures + 1
        delay = min(FIRST_BACKOFF_SECONDS * (1 << min(kept.failures - 1, 16)), BACKOFF_SECONDS_MAX)
        kept.start_again_at = now + delay
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        if not self._healthy and kept.failures >= START_FAILURES_MAX:
            raise self._does_not_start(kept.program, how)
        log.error(
            f"{kept.program.name} ended ({how}) after {lived:.1f} s; it is started again in {delay:.1f} s.",
            action="process_ended",
            process=kept.program.name,
            said=last_words(kept.program.out, lines=1),
        )

    def _does_not_start(self, program: Program, how: str) -> Unavailable:
        said = last_words(program.out, lines=5)
        return Unavailable(
            "does_not_start",
            f"{program.name} ended {START_FAILURES_MAX} times before everything was healthy ({how})"
            + (f"; its last words: {said}" if said else "."),
            remedy=f"More is in {program.out or self._workspace.system_log}; quantum doctor looks for the cause.",
        )

    def _start(self, kept: _Kept, now: float) -> None:
        # Its own session: a Ctrl-C in the terminal reaches only us, and we end the others in order.
        program, folder = kept.program, self._workspace.root
        kept.child = spawn(program.argv, folder=folder, out=program.out, environ=self._environ)
        kept.identity = process(kept.child.pid)
        kept.started_at = now
        log.debug(f"{kept.program.name} runs as process {kept.child.pid}.", action="process_started")
        self._write_runtime()

    def _write_runtime(self) -> None:
        own = process(os.getpid())
        document = {
            "port": self._gateway.port,
            "host": self._gateway.host,
            "supervisor": to_json({"up": own})["up"] if own else None,
            "processes": to_json(self.processes()),
        }
        atomic_write(self._workspace.runtime, json.dumps(document, indent=2).encode(), 0o600, durable=False)

    def _end_all(self, bell: Bell) -> None:
        """End in the reverse order of start, so that nobody loses what it needs while it hands over its work."""
        for stage in sorted({kept.program.stage for kept in self._kept}, reverse=True):
            self._end_stage([kept for kept in self._kept if kept.program.stage == stage], bell)
        self._workspace.runtime.unlink(missing_ok=True)

    def _end_stage(self, stage: Sequence[_Kept], bell: Bell) -> None:
        running = [kept for kept in stage if kept.child is not None]
        for kept in running:
            _child(kept).terminate()
        start = self._clock.boottime()
        while running := [kept for kept in running if _child(kept).poll() is None]:
            passed = self._clock.boottime() - start
            for kept in running:
                if passed >= kept.program.end_seconds:
                    log.error(
                        f"{kept.program.name} did not end within {kept.program.end_seconds:.0f} s and was killed.",
                        action="process_killed",
                    )
                    _child(kept).kill()
                    _child(kept).wait()
            bell.wait(POLL_SECONDS)


def _child(kept: _Kept) -> subprocess.Popen[bytes]:
    assert kept.child is not None
    return kept.child


def answers(door: Path) -> bool:
    """Whether somebody accepts connections on a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(door))
        except OSError:
            return False
        return True
