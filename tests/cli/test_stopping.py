"""Stop-all with nobody there to help: the file is written, and the processes of agents are found and ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from cli.incidents.stopping import stop_everything
from cli.processes.identity import of_agents
from foundation.errors import NotFound
from foundation.stop_file import StopFile
from tests.cli.conftest import Quantum
from tests.cli.fakes import NOW, PlayedSession


class _Hasty:
    """A clock on which seven seconds pass between two looks."""

    def __init__(self) -> None:
        self._boottime = 0.0

    def now(self) -> datetime:
        return NOW

    def boottime(self) -> float:
        self._boottime += 7
        return self._boottime


class _WithoutToken(PlayedSession):
    """A keychain that has lost its token."""

    token = property(lambda self: _no_token())

    @contextmanager
    def connected(self) -> Iterator[Any]:
        if self.token:
            yield


def _no_token() -> str:
    raise NotFound("no_token", "There is no token.")


def start_agent(folder: Path) -> subprocess.Popen[bytes]:
    """A process as a warden would start it, which outlives a polite request."""
    environ = {"QUANTUM_TASK_ID": "t1", "QUANTUM_WORKSPACE": str(folder), "PATH": "/usr/bin:/bin"}
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    started = subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()
    return started


def test_what_nobody_else_ends_is_ended_here(folder: Path) -> None:
    session = _WithoutToken(folder)
    session.clock = _Hasty()
    with start_agent(folder) as agent:
        assert [one.pid for one in of_agents(folder)] == [agent.pid]
        stopped = stop_everything(session, "a test")
        assert agent.wait(60) == -9
    assert (stopped.running_before, stopped.killed_here, list(stopped.left)) == (1, 1, [])
    assert (stopped.safety_told, stopped.safety_said) == (False, "There is no token.")
    order = StopFile(folder / ".quantum" / "STOP").read()
    assert order is not None
    assert (order.why, order.at) == ("a test", NOW)


def test_only_this_workspace_is_looked_at(folder: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    with start_agent(other) as agent:
        assert of_agents(folder) == []
        agent.kill()


def test_stop_must_say_all_and_can_only_look(quantum: Quantum, folder: Path) -> None:
    assert quantum("stop").code == 2
    assert quantum("stop", "--all", "--dry-run", "--json").document == {"dry_run": True, "processes": 0, "pids": []}
    assert not (folder / ".quantum" / "STOP").exists()
