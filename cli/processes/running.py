"""What runs in a workspace, as was written down at its start, and how all of it is ended."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cli.processes.gateway_address import GatewayAddress
from cli.processes.identity import Process, command_of, descendants, from_json
from foundation.clock import Clock
from foundation.errors import Conflict, Denied, Internal, Invalid
from foundation.settings import load
from foundation.workspace import Workspace, WorkspaceLock

KILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What was written down: where the gateway is, the supervisor, and each process by name, alive or not."""

    gateway: GatewayAddress
    supervisor: Process | None = None
    processes: Mapping[str, Process] = field(default_factory=dict)
    units: bool = False
    """Whether the service manager of the operating system keeps them, and not a supervisor of ours."""

    @property
    def alive(self) -> dict[str, Process]:
        """Those that still run, by name; `up` is the supervisor."""
        everyone = {**({"up": self.supervisor} if self.supervisor else {}), **self.processes}
        return {name: one for name, one in everyone.items() if one.alive()}

    @property
    def runners(self) -> list[str]:
        """The names of the sockets of its runners: `runner-<name>`."""
        return [name for name in self.processes if name.startswith("runner-")]


def read_running(workspace: Workspace) -> Running | None:
    """What was written down; None when nothing is, or nothing of it still runs.

    Raises Invalid when the supervisor's file is damaged. A unit's record that is damaged counts as none: its manager
    knows what it keeps, and `damaged_records` names it.
    """
    for read in (_supervised, _units):
        running = read(workspace)
        if running is not None and running.alive:
            return running
    return None


def _supervised(workspace: Workspace) -> Running | None:
    """What `up` has written down."""
    try:
        document = json.loads(workspace.runtime.read_bytes())
    except FileNotFoundError:
        return None
    except PermissionError:
        raise  # another user's workspace: nothing of ours runs there, and nothing there is ours to remove
    except (OSError, ValueError) as error:
        raise _unreadable(workspace.runtime, str(error)) from error
    try:
        supervisor = from_json({"up": document["supervisor"]})["up"] if document["supervisor"] else None
        gateway = GatewayAddress(str(document["host"]), int(document["port"]))
        return Running(gateway=gateway, supervisor=supervisor, processes=from_json(document["processes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(workspace.runtime, f"{type(error).__name__}: {error}") from error


def _units(workspace: Workspace) -> Running | None:
    """What the processes that a service manager runs have written down, each for itself."""
    records = {path.stem: record for path, record in _records(workspace) if record is not None}
    if not records:
        return None
    processes = {name: record.process for name, record in records.items()}
    address = records["gateway"].address if "gateway" in records else None
    order = _last_started_first(processes)[::-1]
    return Running(
        gateway=address or _intended(workspace), processes={name: processes[name] for name in order}, units=True
    )


@dataclass(frozen=True, slots=True)
class _Record:
    """What a unit has written down of itself; only the gateway has an address."""

    process: Process
    address: GatewayAddress | None


def _records(workspace: Workspace) -> Iterator[tuple[Path, _Record | None]]:
    """Each unit's record by its file; None for one that cannot be read."""
    for path in sorted(workspace.units.glob("*.json")):
        try:
            document = json.loads(path.read_bytes())
            process = from_json({path.stem: document})[path.stem]
            port = document.get("port")
            yield path, _Record(process, GatewayAddress(str(document["host"]), int(port)) if port is not None else None)
        except FileNotFoundError:
            continue  # ended just now
        except PermissionError:
            raise  # another user's workspace
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            yield path, None


def damaged_records(workspace: Workspace) -> list[Path]:
    """Records of units that cannot be read. They are written whole, so that somebody else must have changed them."""
    return [path for path, record in _records(workspace) if record is None]


def _intended(workspace: Workspace) -> GatewayAddress:
    """Where the gateway will be, as long as it has not said where it is."""
    try:
        settings = load(_Address, environ={}, workspace=workspace)
    except Invalid:
        return GatewayAddress("127.0.0.1", 0)  # nowhere: it will not start with these settings
    return GatewayAddress(settings.gateway_host, settings.gateway_port)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    gateway_host: str
    gateway_port: int


def _unreadable(path: Path, why: str) -> Invalid:
    return Invalid(
        "runtime_unreadable",
        f"{path} cannot be read ({why}), so that it is not known what runs.",
        remedy=f"Look with `ps`, end what is left by its pid, and remove {path}.",
    )


def targets(workspace: Workspace) -> dict[str, Process]:
    """Everything that `end` would end, by name: supervisor, services, and what those have started."""
    running = read_running(workspace)
    if running is None:
        return {}
    found = running.alive
    known = {one.pid for one in found.values()}
    for below in descendants(found.values()):
        if below.pid not in known:
            found[f"{command_of(below.pid)} ({below.pid})"] = below
    return found


def end(workspace: Workspace, *, within: timedelta, clock: Clock) -> dict[str, Process]:
    """End everything that runs in a workspace and return it by name, each proved gone by pid and start.

    The supervisor ends the others in order. Was it killed and left them behind, they are ended here, in its place.
    Raises Internal naming what would not end.
    """
    ended = targets(workspace)
    running = read_running(workspace)
    if running is None:
        return ended
    if running.supervisor is not None and running.supervisor.send(signal.SIGTERM):
        wait_gone([running.supervisor], within, clock)
    for name in _last_started_first(running.processes):
        if running.processes[name].send(signal.SIGTERM):
            wait_gone([running.processes[name]], within, clock)
    prove_gone(list(ended.values()), within, clock)
    workspace.runtime.unlink(missing_ok=True)
    return ended


def prove_gone(ended: Sequence[Process], within: timedelta, clock: Clock) -> None:
    """Wait for the end of these, kill what is left after that, and raise Internal naming what would not end.

    A warden ends its own trees when its runner has gone; it is given its time too.
    """
    left = wait_gone(ended, within, clock)
    for one in left:
        one.send(signal.SIGKILL)
    left = wait_gone(left, timedelta(seconds=KILL_SECONDS), clock)
    if left:
        raise Internal("not_ended", f"These processes would not end: {', '.join(str(one.pid) for one in left)}.")


def _last_started_first(processes: Mapping[str, Process]) -> list[str]:
    order = {"gateway": 0, "coordinator": 2, "safety": 3}
    return sorted(processes, key=lambda name: order.get(name, 1))


def wait_gone(processes: Sequence[Process], within: timedelta, clock: Clock) -> list[Process]:
    """Wait until these have ended, at most so long; those that have not."""
    deadline = clock.boottime() + within.total_seconds()
    pause = threading.Event()
    left = [one for one in processes if one.alive()]
    while left and clock.boottime() < deadline:
        pause.wait(0.05)
        left = [one for one in left if one.alive()]
    return left


def require_no_half_isolation(workspace: Workspace) -> None:
    """Raise Conflict when an isolation was begun and not brought to its end: tokens of whoever got in may be good."""
    if workspace.isolating.exists():
        raise Conflict(
            "isolation_unfinished",
            f"The isolation of {workspace.root} was not brought to its end: who got in may still get in.",
            remedy="quantum isolate goes on with it, and says what it cannot do.",
        )


def require_nothing_runs(workspace: Workspace) -> None:
    """Raise Conflict when a supervisor, or what a killed one left behind, runs here."""
    holder = WorkspaceLock(workspace.lock_file).holder()
    if holder is not None:
        raise Conflict(
            "already_up",
            f"Quantum runs in {workspace.root} already, as process {holder}.",
            remedy="quantum status shows it; quantum down ends it.",
        )
    running = read_running(workspace)
    if running is not None:
        left = ", ".join(f"{name} ({one.pid})" for name, one in running.alive.items())
        if running.units:
            raise Conflict(
                "units_run",
                f"Services of the operating system run in {workspace.root}: {left}.",
                remedy="quantum service stop ends them; quantum service status shows them.",
            )
        raise Conflict(
            "left_behind",
            f"Processes of an earlier start still run, whose supervisor was killed: {left}.",
            remedy="quantum down ends them.",
        )
    for name in ("safety", "coordinator"):
        path = workspace.sockets / f"{name}.sock"
        if _answers(path):
            # Whoever removes `.quantum` removes what was written down, and ends nobody.
            raise Conflict(
                "still_answers",
                f"A {name} of {workspace.root} still runs, of which nothing is written down: it listens at {path}.",
                remedy="quantum stop --all ends what agents do; end the services by their pids, as `ps` shows them.",
            )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:  # not there, nobody behind it, or too long a path to be one
            return False
        return True


def require_free_port(host: str, port: int, *, chosen_by: str = "QUANTUM_GATEWAY_PORT={} quantum up") -> int:
    """The port to listen on, a free one for 0; `chosen_by` is how a person would choose another.

    Raises Conflict naming who has it, Denied when it needs more rights.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise Denied(
                "port_needs_rights",
                f"Port {port} may be taken by an administrator only.",
                remedy=f"Choose one from 1024 up: {chosen_by.format(5005)}.",
            ) from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Invalid(
                    "bad_address",
                    f"The gateway cannot listen on {host}: {error.strerror or error}.",
                    remedy="Set gateway_host to an address of this machine.",
                ) from None
            owner = _owner_of(port)
            raise Conflict(
                "port_in_use",
                f"Port {port} is in use by {owner}.",
                remedy=f"End it, or choose another port: {chosen_by.format(port % 65_535 + 1)}.",
            ) from None
        chosen: int = probe.getsockname()[1]
        return chosen


def _owner_of(port: int) -> str:
    import psutil

    for candidate in psutil.process_iter():
        try:
            connections = candidate.net_connections(kind="tcp")
        except psutil.Error:  # gone meanwhile, or somebody else's
            continue
        for one in connections:
            if one.laddr.port == port and one.status == psutil.CONN_LISTEN:
                return f"process {candidate.pid} ({command_of(candidate.pid)})"
    return "a process that is not yours to see"
