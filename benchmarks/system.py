"""A real Quantum in a temporary workspace, started and ended as a user would."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import psutil

from cli.processes.running import read_running
from cli.session import Connected, Session
from foundation.workspace import Workspace

T = TypeVar("T")
SCRIPT = """#!/bin/sh
# /// script
# [tool.quantum]
# effects = "idempotent"
# ///
echo one
echo two
exit 0
"""
PLAIN = "#!/bin/sh\necho one\necho two\nexit 0\n"


class System:
    """A running system. `call` runs a coroutine of a client to its end."""

    def __init__(self, workspace: Workspace, connected: Connected) -> None:
        self.workspace = workspace
        self.coordinator = connected.coordinator
        self.connected = connected

    def call(self, work: Coroutine[Any, Any, T], timeout: timedelta = timedelta(minutes=5)) -> T:
        return self.connected.call(work, timeout)

    def processes(self) -> Mapping[str, list[psutil.Process]]:
        """Each service with its children, by name."""
        running = read_running(self.workspace)
        assert running is not None, "the system is not running"
        return {
            name: [psutil.Process(one.pid), *psutil.Process(one.pid).children(recursive=True)]
            for name, one in running.processes.items()
        }


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def workspace_folder(agents: Mapping[str, str]) -> Iterator[tuple[Path, dict[str, str]]]:
    """A fresh workspace with these agents (name → script), and the environment that points at it."""
    folder = Path(tempfile.mkdtemp(prefix="qb-"))
    environ = {
        **os.environ,
        "QUANTUM_WORKSPACE": str(folder / "ws"),
        "QUANTUM_KEYCHAIN": "file",
        "QUANTUM_GATEWAY_PORT": str(free_port()),
        # Whatever else this machine does meanwhile is to cost speed, not starts; `host_guard="auto"` measures with it.
        "QUANTUM_HOST_GUARD": "off",
        "XDG_RUNTIME_DIR": str(folder),
    }
    try:
        quantum(environ, "init", str(folder / "ws"))
        for name, text in agents.items():
            script = folder / "ws" / "agents" / name
            script.write_text(text)
            script.chmod(0o755)
        yield folder, environ
    finally:
        shutil.rmtree(folder)


@contextmanager
def running(agents: Mapping[str, str], **settings: str) -> Iterator[System]:
    """Start a system with these agents, end it after the block; `settings` are QUANTUM_* by their lower-case names."""
    with workspace_folder(agents) as (_, environ):
        environ |= {f"QUANTUM_{name.upper()}": value for name, value in settings.items()}
        with started(environ) as system:
            yield system


@contextmanager
def started(environ: Mapping[str, str]) -> Iterator[System]:
    """Start the system of a workspace that is there already."""
    # The sockets' folder is looked up in the process's own environment.
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = environ["XDG_RUNTIME_DIR"]
    quantum(environ, "up", "--detach")
    try:
        session = Session(environ=environ, cwd=Path.cwd())
        with session.connected() as connected:
            yield System(session.workspace, connected)
    finally:
        quantum(environ, "down")
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before


def quantum(environ: Mapping[str, str], *words: str) -> str:
    """Run one verb; its words on failure become ours."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words], env=dict(environ), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"quantum {' '.join(words)} failed ({done.returncode}): {done.stderr or done.stdout}")
    return done.stdout
