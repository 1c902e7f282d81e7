"""Isolates a workspace: nothing of it runs, nobody gets in with what they had, and each step may be done again."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cli.first_start import SERVICE_SCOPES
from cli.incidents.stopping import who
from cli.processes.identity import Process, descendants, of_agents
from cli.processes.running import Running, damaged_records, read_running
from cli.session import Session
from foundation.auth import USER_SCOPES
from foundation.errors import Internal, NotFound, QuantumError
from foundation.files import atomic_write, sync_directory
from foundation.ids import random_bytes
from foundation.own_python import child_environment
from foundation.secrets import SERVICE_TOKEN, USER_TOKEN, service_account, user_account
from foundation.stop_file import StopFile
from foundation.tokens import mint
from foundation.workspace import Workspace, WorkspaceLock

GATEWAY_SECONDS, AGENTS_SECONDS, ALL_SECONDS, GIVE_UP_SECONDS = 0.5, 1.0, 2.2, 6.0
"""From the order on: what ends by itself until then is not killed."""
REVOKE_SECONDS = 30
_PAUSE_SECONDS = 0.05


@dataclass(slots=True, kw_only=True)
class Isolated:
    """What was done, in the order of the steps, and what could not be: sentences, empty when all was."""

    stopped_by: str = ""
    ended: int = 0
    killed: int = 0
    left: Sequence[Process] = ()
    units_unloaded: bool = False
    gateway_closed: bool = False
    revoked: int | None = None
    """How many tokens; None: it could not be done."""
    fresh: Sequence[str] = ()
    """Whose tokens are new."""
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def isolate(session: Session, reason: str) -> Isolated:
    """Stop everything, end every process, revoke every token; go on also when a step fails, and say what is missing.

    Needs no service and no token. Raises NotFound for what was never initialised, OSError when `.quantum` cannot be
    written.
    """
    workspace, clock = session.workspace, session.clock
    if not workspace.state.is_dir():
        raise NotFound("not_initialised", f"{workspace.root} has not been initialised.", remedy="quantum init")
    began, done = clock.boottime(), Isolated()
    atomic_write(workspace.isolating, b"", 0o600)
    done.stopped_by = StopFile(workspace.stop_file).write(who=who(), why=reason, now=clock.now()).who
    running = _running(workspace, done)
    with _start_revoking(session) as child:
        try:
            _end_everything(session, running, done)
            _try(done, "The tokens could not be revoked", lambda: _revoke(session, child, reason, done))
        finally:
            child.kill()
    done.gateway_closed = running is None or not _listens(running.gateway.host, running.gateway.port)
    if not done.gateway_closed and running is not None:
        done.faults.append(f"Somebody still listens on port {running.gateway.port}.")
    if done.left:
        done.faults.append(f"These processes would not end: {', '.join(str(one.pid) for one in done.left)}.")
    if not done.faults:
        workspace.runtime.unlink(missing_ok=True)
        workspace.isolating.unlink(missing_ok=True)
        sync_directory(workspace.state)
    done.seconds = clock.boottime() - began
    return done


def _try(done: Isolated, what: str, work: Callable[[], object]) -> None:
    try:
        work()
    except QuantumError as error:
        done.faults.append(f"{what}: {error.message}{f' → {error.remedy}' if error.remedy else ''}")
    except (OSError, subprocess.SubprocessError) as error:
        done.faults.append(f"{what}: {error}.")


def _running(workspace: Workspace, done: Isolated) -> Running | None:
    try:
        damaged = damaged_records(workspace)
        done.faults += [f"{path} has been damaged: look with `ps` whether its service still runs." for path in damaged]
        return read_running(workspace)
    except QuantumError as error:
        done.faults.append(f"{error.message} → {error.remedy}")
        return None


def _end_everything(session: Session, running: Running | None, done: Isolated) -> None:
    """Units first, so that nobody starts anything again; then all processes, those of agents before their keepers."""
    workspace, clock = session.workspace, session.clock
    unloading = threading.Thread(
        target=_try, args=(done, "The units could not be unloaded", lambda: _unload(session, done))
    )
    unloading.start()
    began, pause = clock.boottime(), threading.Event()
    keepers = _keepers(running)
    first = {one.pid for one in _everything(workspace, keepers)}
    if (supervisor := keepers.get("up")) is not None:
        supervisor.send(signal.SIGTERM)
    elif running is not None and not running.units:  # a killed supervisor's; those of units their manager ends
        for one in keepers.values():
            one.send(signal.SIGTERM)
    while left := _everything(workspace, keepers):
        passed = clock.boottime() - began
        if passed > GIVE_UP_SECONDS:
            break
        done.killed += _kill_late(left, keepers, passed)
        pause.wait(_PAUSE_SECONDS)
    unloading.join(GIVE_UP_SECONDS)
    # A manager may have started one again before it heard that it is to let go.
    again = _keepers(_running(workspace, done))
    done.killed += sum(one.send(signal.SIGKILL) for one in _everything(workspace, again))
    done.left = _everything(workspace, {**keepers, **again})
    done.ended = len(first) - len(done.left)


def _keepers(running: Running | None) -> dict[str, Process]:
    """The services, their supervisor, and the wardens: those who end others."""
    if running is None:
        return {}
    found = running.alive
    wardens = [
        one for name, runner in found.items() if name.startswith("runner-") for one in descendants([runner], deep=False)
    ]
    return {**found, **{f"warden {one.pid}": one for one in wardens}}


def _everything(workspace: Workspace, keepers: Mapping[str, Process]) -> list[Process]:
    """All that runs: the keepers, what is below them, and what carries a task of this workspace in its environment."""
    alive = [one for one in keepers.values() if one.alive()]
    found = {one.pid: one for one in (*alive, *descendants(alive), *of_agents(workspace.root))}
    return [one for one in found.values() if one.alive()]


def _kill_late(left: Sequence[Process], keepers: Mapping[str, Process], passed: float) -> int:
    """Kill what has had its time. Keepers stay until their agents are gone: below them nothing is lost sight of."""
    keeping = {one.pid for one in keepers.values()}
    agents = [one for one in left if one.pid not in keeping]
    late: list[Process] = []
    if passed > GATEWAY_SECONDS and (gateway := keepers.get("gateway")) is not None:
        late += [gateway, *descendants([gateway])]
    if passed > AGENTS_SECONDS:
        late += agents
    if passed > ALL_SECONDS and not agents:
        late += left
    if passed > GIVE_UP_SECONDS * 2 / 3:
        late += left
    return sum(one.send(signal.SIGKILL) for one in {one.pid: one for one in late}.values())


def _unload(session: Session, done: Isolated) -> None:
    """Have launchd or systemd let go of its units, where there are any; what outlives that is killed here."""
    from cli.service.acting import installed, stop_units

    if installed(session.workspace, session.environ):
        within = timedelta(seconds=GIVE_UP_SECONDS)
        stop_units(session.workspace, session.environ, clock=session.clock, within=within)
        done.units_unloaded = True


def _listens(host: str, port: int) -> bool:
    host = "127.0.0.1" if host in ("", "0.0.0.0", "localhost") else "::1" if host == "::" else host
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _revoke(session: Session, child: subprocess.Popen[str], reason: str, done: Isolated) -> None:
    """The database first, then the keychain: a crash between leaves nobody in, and the same command mends it."""
    workspace = session.workspace
    secrets = session.secrets
    fresh = {
        "user": (USER_TOKEN, user_account(workspace), USER_SCOPES),
        **{
            f"service {name}": (SERVICE_TOKEN, service_account(workspace, name), scopes)
            for name, scopes in SERVICE_SCOPES.items()
        },
    }
    minted = {name: mint(random_bytes) for name in fresh}
    document = [
        {"id": token.id, "digest": token.digest, "name": name, "scopes": sorted(fresh[name][2]), "expires_at": None}
        for name, token in minted.items()
    ]
    with WorkspaceLock(workspace.lock_file):
        done.revoked = _revoke_in_database(session, child, {"tokens": document, "reason": reason})
        for name, (kind, account, _) in fresh.items():
            secrets.set(kind, account, minted[name].text)
        workspace.hooks_token.unlink(missing_ok=True)  # `up` makes a new one
    done.fresh = tuple(minted)


def _start_revoking(session: Session) -> subprocess.Popen[str]:
    """Safety's own program as a child, since nobody else opens its database. It loads while processes end, and waits
    for what it is to do on standard input: tokens travel there, as digests.
    """
    root: Path = session.workspace.root
    return subprocess.Popen(
        [sys.executable, "-m", "services.safety", "isolate", "--workspace", str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(session.environ),
        cwd=root,
    )


def _revoke_in_database(session: Session, child: subprocess.Popen[str], document: Mapping[str, object]) -> int:
    if not session.workspace.safety_db.exists():
        raise Internal("no_safety_database", f"There is no {session.workspace.safety_db}.", remedy="quantum init")
    said, wrong = child.communicate(json.dumps(document), REVOKE_SECONDS)
    if child.returncode != 0:
        first = (wrong.strip().splitlines() or ["it did not say why"])[0]
        raise Internal("not_revoked", first, remedy="quantum doctor names what is wrong; then quantum isolate again.")
    return int(said)
