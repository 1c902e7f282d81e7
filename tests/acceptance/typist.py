"""A hand that types lines into a workspace, in namespaces of its own for processes and network.

`pkill` then sees nothing but this, port 5005 is free, and nobody else can reach it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.clock import SystemClock
from tests.acceptance.system import REPOSITORY, System
from tests.acceptance.test_runbook_emergency import require_namespace
from tests.programs import missing, require

PORT = 5005
BOUND_SECONDS = 120
IDENTITY = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")


@dataclass(frozen=True, slots=True)
class Typed:
    """One line that was typed into a shell of its own; with a code of None it did not end."""

    code: int | None
    said: str
    seconds: float


class Typist:
    """One workspace whose gateway has the port of the runbook, and a shell for each line."""

    def __init__(self, folder: Path) -> None:
        environ = {**System.environment(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        for name in ("QUANTUM_GATEWAY_PORT", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            environ.pop(name, None)
        # The workspace's own tests need none of the plugins that happen to be installed for ours.
        environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        environ["QUANTUM_INFRASTRUCTURE_RETRY_SECONDS"] = "0.2"
        self.system = System(folder=folder, port=PORT, environ=environ)
        self.clock = SystemClock()
        self.plants: list[subprocess.Popen[bytes]] = []

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return self.system.root

    def type(self, line: str, *, says: str = "", stays: bool = False) -> Typed:
        """Type a line into a shell, which reads it from a pipe, so that no process but the line's own carries it.

        One that `stays`, or goes on in the background, is waited for until it `says` that; the former is then
        interrupted.
        """
        began = self.clock.boottime()
        with tempfile.TemporaryFile() as out:
            shell = subprocess.Popen(
                ["bash"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                cwd=self.root,
                env=self.system.environ,
                start_new_session=True,
            )
            assert shell.stdin is not None
            shell.stdin.write(f"{line}\n".encode())
            shell.stdin.close()
            if stays or line.endswith("&"):
                self._await_words(shell, out.fileno(), says.encode(), stays=stays)
            if stays and shell.poll() is None:
                os.killpg(shell.pid, signal.SIGINT)
            code = ended(shell)
            said = os.pread(out.fileno(), 1 << 20, 0).decode(errors="replace")
        return Typed(code, said, self.clock.boottime() - began)

    def _await_words(self, shell: subprocess.Popen[bytes], out: int, words: bytes, *, stays: bool) -> None:
        """Until it has said them, or has ended without."""
        pause, deadline = threading.Event(), self.clock.boottime() + BOUND_SECONDS
        while words not in os.pread(out, 1 << 20, 0) and self.clock.boottime() < deadline:
            if stays and shell.poll() is not None:
                return
            pause.wait(0.05)

    def health(self, port: int = PORT) -> str:
        """What anybody is told of it; empty when nobody answers."""
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                f"http://127.0.0.1:{port}/health"
            ) as answer:
                return str(json.loads(answer.read())["status"])
        except OSError:
            return ""

    def plant(self, script: str) -> None:
        """Start a Python of somebody else's."""
        self.plants.append(subprocess.Popen([sys.executable, "-c", script], cwd=self.root))

    def commit(self, folder: Path) -> None:
        """Make a folder a repository with all that is in it."""
        for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-q", "-m", "All")):
            subprocess.run(["git", *IDENTITY, *words], cwd=folder, check=True, capture_output=True)

    def end(self) -> None:
        """End everything, and what was planted."""
        for plant in self.plants:
            plant.kill()
            plant.wait()
        self.system.end()


def put(path: Path, text: str) -> None:
    """Write a file in a folder that need not be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def ended(shell: subprocess.Popen[bytes]) -> int | None:
    """The exit code; None for what had to be killed."""
    try:
        return shell.wait(BOUND_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        return None


@contextmanager
def alone() -> Iterator[None]:
    """In namespaces of our own: the loopback is up, and what is typed does not end us."""
    assert len([one for one in os.listdir("/proc") if one.isdigit()]) < 10, "not in a PID namespace of its own"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # A handler, not SIG_IGN, which children would inherit.
    signal.signal(signal.SIGTERM, lambda *_: None)
    yield


def told(module: str, *words: str, within: float) -> Any:
    """Have a module of this folder tell its story in namespaces of its own; the JSON that it prints last."""
    command = [*require_namespace(), "--net"]
    for program, package in (("ip", "iproute2"), ("lsof", ""), ("curl", ""), ("git", "")):
        require(program, package)
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        missing("a network namespace of its own needs root and a kernel that allows it")
    # `pkill -f quantum` is to meet this, wherever the tests lie.
    folder = Path(tempfile.mkdtemp(prefix="quantum-", dir="/tmp")).resolve()
    try:
        story = [sys.executable, "-m", f"tests.acceptance.{module}", str(folder), *words]
        ran = subprocess.run(
            # A shell as the namespace's first process reaps what is orphaned.
            [*command, "sh", "-c", '"$@"; exit $?', "sh", *story],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert ran.returncode == 0, ran.stderr[-8000:]
    return json.loads(ran.stdout.splitlines()[-1])
