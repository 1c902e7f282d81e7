"""Two workspaces of one user on one machine: nothing is shared, and what ends one does not touch the other."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.service.parts import PARTS, UPKEEP
from foundation.secrets import (
    AUDIT_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    open_secret_store,
    service_account,
    user_account,
)
from foundation.workspace import Workspace
from tests.acceptance.system import System

KINDS = (DATABASE_KEY, AUDIT_KEY, USER_TOKEN)
SERVICES = ("coordinator", "safety", "runner", "gateway")
STAYS = 'echo "$$" >> "$QUANTUM_WORKSPACE/alive"; exec sleep 600'


class Pair:
    """Two systems as one user has them: one folder for sockets, one home, and each a port of its own."""

    def __init__(self) -> None:
        self.one, self.other = System.make({}), System.make({})
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
            self.other.environ[name] = self.one.environ[name]
        for system in self.both:
            system.quantum("init", code=0)

    def up(self) -> Pair:
        """Start both, and in each an agent that stays."""
        for system in self.both:
            system.agent("stays", STAYS)
            system.up()
            system.quantum("submit", "stays", code=0)
        for system in self.both:
            system.until(lambda: (system.root / "alive").exists(), what="the agent runs")  # noqa: B023
        return self

    @property
    def both(self) -> tuple[System, System]:
        """Them."""
        return self.one, self.other

    def end(self) -> None:
        """End both."""
        self.other.end()
        self.one.end()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Both, with nothing running at first."""
    pair = Pair()
    try:
        yield pair
    finally:
        pair.end()


@pytest.fixture(scope="module")
def running(pair: Pair) -> Pair:
    """Both up, each with an agent that runs; the last test of this module ends one of them."""
    return pair.up()


def tree(system: System) -> dict[int, psutil.Process]:
    """Every process of a system: what is written down, and all below it."""
    found: dict[int, psutil.Process] = {}
    for one in system.running.alive.values():
        process = psutil.Process(one.pid)
        found[one.pid] = process
        found.update({below.pid: below for below in process.children(recursive=True)})
    return found


def opened(system: System) -> set[str]:
    """The files that its processes have open for writing, databases among them, and their sockets."""
    paths: set[str] = set()
    for process in tree(system).values():
        paths |= {str(file.path) for file in process.open_files() if file.mode != "r"}
        paths |= {str(one.laddr) for one in process.net_connections(kind="unix")}
    # What the kernel shows of the group in which both were started is nobody's; the cells in it are looked at apart.
    return {path for path in paths if path and not path.startswith("/sys/")}


def listening(system: System) -> set[int]:
    """The ports that its processes listen on."""
    return {
        one.laddr.port
        for process in tree(system).values()
        for one in process.net_connections(kind="inet")
        if one.status == psutil.CONN_LISTEN
    }


def cgroups(system: System) -> set[str]:
    """The cells of the kernel that what its agents run is in."""
    pid = (system.root / "alive").read_text().split()[-1]
    cells = {line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()}
    mine = {line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()}
    return cells - mine


def test_their_names_among_sockets_units_and_in_the_keychain_are_apart(pair: Pair) -> None:
    one, other = (system.workspace for system in pair.both)
    assert one.sockets != other.sockets
    assert one.sockets.parent == other.sockets.parent, "the control: they are in one folder of the user's"
    written = [units_of(system) for system in pair.both]
    assert len(written[0]) == len(written[1]) > 3
    assert not written[0] & written[1]
    accounts = [{user_account(at), *(service_account(at, name) for name in SERVICES)} for at in (one, other)]
    assert not accounts[0] & accounts[1]


def test_no_secret_is_the_same(pair: Pair) -> None:
    held = [secrets_of(system) for system in pair.both]
    assert all(len(one) == len(KINDS) + len(SERVICES) for one in held)
    assert not held[0] & held[1]


def test_the_look_at_secrets_sees_what_is_shared() -> None:
    """The control: one that is a copy of another has all of its secrets."""
    systems = [System.make({}), System.make({})]
    try:
        held = [secrets_of(system.init()) for system in systems]
        assert held[0] == held[1]
    finally:
        for system in systems:
            system.end()


def secrets_of(system: System) -> set[str]:
    """Every secret that a workspace has made for itself."""
    workspace = Workspace(system.root)
    store = open_secret_store(workspace, system.environ)
    found = {store.get(kind, user_account(workspace)) for kind in KINDS}
    found |= {store.get(SERVICE_TOKEN, service_account(workspace, name)) for name in SERVICES}
    return {one for one in found if one is not None}


def units_of(system: System) -> set[str]:
    """The names of its units for systemd and its jobs for launchd, over which a user's manager knows them."""
    at = system.workspace
    return {name for part in (*PARTS, UPKEEP) for name in (part.unit(at), part.label(at))}


@pytest.mark.long
def test_no_process_port_socket_or_file_is_shared(running: Pair) -> None:
    processes, ports = [tree(system) for system in running.both], [listening(system) for system in running.both]
    files, cells = [opened(system) for system in running.both], [cgroups(system) for system in running.both]
    assert not set(processes[0]) & set(processes[1])
    assert all(len(found) >= 6 for found in processes), "supervisor, four services, a warden"
    assert [sorted(found) for found in ports] == [[running.one.port], [running.other.port]]
    assert not files[0] & files[1], sorted(files[0] & files[1])
    for system, found in zip(running.both, files, strict=True):
        names = {Path(path).name for path in found}
        assert {"coordinator.db", "safety.db"} <= names, sorted(names)
        sockets = {path for path in found if path.endswith(".sock")}
        assert sockets and all(path.startswith(str(system.workspace.sockets)) for path in sockets), sorted(found)
    assert not cells[0] & cells[1]
    print(f"{[len(found) for found in processes]} processes, {[len(found) for found in files]} files and sockets")


@pytest.mark.long
def test_a_token_of_one_is_nothing_to_the_other(running: Pair) -> None:
    for mine, theirs in ((running.one, running.other), (running.other, running.one)):
        assert mine.http("GET", "/agents/status", token=mine.token)[0] == 200
        assert theirs.http("GET", "/agents/status", token=mine.token)[0] == 401


@pytest.mark.long
def test_one_knows_nothing_of_what_the_other_runs(running: Pair) -> None:
    tasks = [{task["id"] for task in system.ask("tasks")["tasks"]} for system in running.both]
    assert all(len(found) == 1 for found in tasks)
    assert not tasks[0] & tasks[1]
    for system, foreign in zip(running.both, reversed(tasks), strict=True):
        assert system.quantum("tasks", *foreign).code == 66
    exports = [set(json.loads((system.root / "agent_status.json").read_text())["agents"]) for system in running.both]
    assert exports[0] == exports[1]
    logs = [set(system.workspace.logs.iterdir()) for system in running.both]
    assert not {path.resolve() for path in logs[0]} & {path.resolve() for path in logs[1]}


@pytest.mark.long
def test_what_ends_one_does_not_touch_the_other(running: Pair) -> None:
    """The last: afterwards only one of them runs."""
    before = {name: one.pid for name, one in running.other.running.alive.items()}
    agent = int((running.other.root / "alive").read_text().split()[-1])
    ended = list(running.one.running.alive.values())
    running.one.quantum("stop", "--all", code=0)
    assert running.one.ask("mode", "show") != running.other.ask("mode", "show")
    running.one.quantum("down", code=0)
    assert not [one for one in ended if one.alive()]
    assert {name: one.pid for name, one in running.other.running.alive.items()} == before
    assert os.path.exists(f"/proc/{agent}")
    assert running.other.http("GET", "/health")[1]["status"] == "ok"
