"""Keeps the processes of one workspace running in the foreground: starts, restarts with backoff, ends them in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psutil

from foundation.clock import Clock
from foundation.errors import Conflict, Internal
from foundation.files import atomic_write
from foundation.log import get_logger
from foundation.workspace import Workspace, WorkspaceLock

log = get_logger("up")

FIRST_BACKOFF_SECONDS = 0.2
BACKOFF_SECONDS_MAX = 30.0
STEADY_SECONDS = 10.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process to keep running. `end_seconds` is how long it may take to end by itself after a SIGTERM."""

    name: str
    argv: tuple[str, ...]
    end_seconds: float


@dataclass(slots=True, eq=False)
class _Kept:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restarts: int = 0
    start_again_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What `runtime.json` says: each process by name with the start time that proves its identity, and the port."""

    port: int
    processes: Mapping[str, tuple[int, float]] = field(default_factory=dict)


def programs(workspace: Workspace, *, runners: Sequence[str], debug: bool, stop_seconds: float) -> list[Program]:
    """The processes of a workspace, in the order of start. They are ended in the reverse order."""
    tail = ("--workspace", str(workspace.root), *(("--debug",) if debug else ()))

    def python(*module: str) -> tuple[str, ...]:
        return (sys.executable, "-m", *module, *tail)

    return [
        Program(name="safety", argv=python("services.safety"), end_seconds=5),
        Program(name="coordinator", argv=python("services.coordinator"), end_seconds=8),
        *(
            Program(
                name=f"runner-{name}",
                argv=python("services.agent_runner", "--name", name),
                end_seconds=stop_seconds + 5,
            )
            for name in runners
        ),
        Program(name="gateway", argv=python("gateway"), end_seconds=12),
    ]


class Supervisor:
    """One owner per process: each is started here, restarted here with a growing delay, and ended here by pid."""

    def __init__(
        self, workspace: Workspace, wanted: Sequence[Program], port: int, environ: Mapping[str, str], clock: Clock
    ) -> None:
        self._workspace = workspace
        self._kept = [_Kept(program) for program in wanted]
        self._port = port
        self._environ = environ
        self._clock = clock
        self._stop = threading.Event()

    def run(self, on_healthy: Callable[[], None]) -> None:
        """Run until `stop` is called; call `on_healthy` once when the gateway first says that all is well."""
        healthy = False
        try:
            while not self._stop.is_set():
                for kept in self._kept:
                    self._keep(kept)
                if not healthy and health(self._port) == "ok":
                    healthy = True
                    on_healthy()
                self._stop.wait(POLL_SECONDS)
        finally:
            self._end_all()

    def stop(self) -> None:
        """Ask for the end; safe from a signal handler."""
        self._stop.set()

    def _keep(self, kept: _Kept) -> None:
        now = self._clock.boottime()
        if kept.process is None:
            if now >= kept.start_again_at:
                self._start(kept, now)
            return
        code = kept.process.poll()
        if code is None:
            return
        lived = now - kept.started_at
        kept.restarts = 0 if lived > STEADY_SECONDS else kept.restarts + 1
        delay = min(FIRST_BACKOFF_SECONDS * (1 << min(kept.restarts, 16)), BACKOFF_SECONDS_MAX)
        kept.process, kept.start_again_at = None, now + delay
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        log.error(
            f"{kept.program.name} ended ({how}) after {lived:.1f} s; it is started again in {delay:.1f} s.",
            action="process_ended",
            process=kept.program.name,
        )

    def _start(self, kept: _Kept, now: float) -> None:
        # Its own session: a Ctrl-C in the terminal reaches only us, and we end the others in order.
        kept.process = subprocess.Popen(
            kept.program.argv,
            stdin=subprocess.DEVNULL,
            env=dict(self._environ),
            cwd=self._workspace.root,
            start_new_session=True,
        )
        kept.started_at = now
        log.info(f"{kept.program.name} runs as process {kept.process.pid}.", action="process_started")
        self._write_runtime()

    def _write_runtime(self) -> None:
        processes = {
            kept.program.name: {"pid": kept.process.pid, "started": _started(kept.process.pid)}
            for kept in self._kept
            if kept.process is not None
        }
        document = {"port": self._port, "processes": processes}
        atomic_write(self._workspace.runtime, json.dumps(document, indent=2).encode(), 0o600, durable=False)

    def _end_all(self) -> None:
        """End in the reverse order of start, so that nobody loses what it needs while it hands over its work."""
        for kept in reversed(self._kept):
            if kept.process is None:
                continue
            kept.process.terminate()
            try:
                kept.process.wait(kept.program.end_seconds)
            except subprocess.TimeoutExpired:
                log.error(
                    f"{kept.program.name} did not end within {kept.program.end_seconds:.0f} s and was killed.",
                    action="process_killed",
                )
                kept.process.kill()
                kept.process.wait()
        self._workspace.runtime.unlink(missing_ok=True)


def health(port: int, timeout_seconds: float = 2.0) -> str:
    """What the gateway's bare /health says: "ok", "degraded" or "down"; "" when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=timeout_seconds) as answer:
            return str(json.load(answer)["status"])
    except urllib.error.HTTPError as error:
        return "down" if error.code == 503 else ""
    except (OSError, ValueError, KeyError):
        return ""


def read_running(workspace: Workspace) -> Running | None:
    """What runs in a workspace according to its supervisor; None when it says nothing or is no longer there."""
    try:
        document = json.loads(workspace.runtime.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Internal("runtime_unreadable", f"{workspace.runtime} cannot be read: {error}.") from error
    processes = {name: (int(one["pid"]), float(one["started"])) for name, one in document["processes"].items()}
    return Running(port=int(document["port"]), processes=processes)


def alive(pid: int, started: float) -> bool:
    """Whether the process that was meant still runs: the same pid *and* the same start time."""
    return _started(pid) == started and started > 0


def _started(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return 0.0


def end(workspace: Workspace, *, within: timedelta, clock: Clock) -> int:
    """End everything that runs in a workspace and return how many processes that were; verified by pid.

    Works also when the supervisor was killed and left its children behind. Raises Internal naming what would not end.
    """
    running = read_running(workspace)
    if running is None:
        return 0
    targets = {pid: started for pid, started in running.processes.values() if alive(pid, started)}
    count = len(targets)
    supervisor = WorkspaceLock(workspace.lock_file).holder()
    if supervisor is not None:
        count += 1
        targets[supervisor] = _started(supervisor)
        os.kill(supervisor, signal.SIGTERM)
    else:
        for pid in targets:
            os.kill(pid, signal.SIGTERM)
    left = _wait_gone(targets, within, clock)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    left = _wait_gone(left, timedelta(seconds=5), clock)
    if left:
        raise Internal("not_ended", f"These processes would not end: {', '.join(map(str, left))}.")
    workspace.runtime.unlink(missing_ok=True)
    return count


def _wait_gone(targets: Mapping[int, float], within: timedelta, clock: Clock) -> dict[int, float]:
    deadline = clock.boottime() + within.total_seconds()
    pause = threading.Event()
    left = dict(targets)
    while left and clock.boottime() < deadline:
        left = {pid: started for pid, started in left.items() if alive(pid, started)}
        if left:
            pause.wait(0.05)
    return {pid: started for pid, started in left.items() if alive(pid, started)}


def require_free_port(host: str, port: int) -> None:
    """Raise Conflict naming who listens on the gateway's port."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            owner = f"process {connection.pid} ({_name(connection.pid)})" if connection.pid else "another process"
            raise Conflict(
                "port_in_use",
                f"Port {port} on {host} is in use by {owner}.",
                remedy="End it, or choose another port: QUANTUM_GATEWAY_PORT=5006 quantum up.",
            )


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "?"


def log_tail(path: Path, lines: int) -> str:
    """The last lines of a small log file, for an error message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
