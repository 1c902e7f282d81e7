"""A whole system in a temporary workspace: real processes, driven by the real command line, ended by pid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from cli.processes.identity import Process, of_agents
from cli.processes.running import Running, end, read_running
from foundation.clock import SystemClock
from foundation.secrets import USER_TOKEN, open_secret_store, user_account
from foundation.workspace import Workspace
from tests.acceptance.initialised import initialise_by_copy
from tests.ports import free_port
from tests.waiting import PATIENCE_SECONDS, until

REPOSITORY = Path(__file__).resolve().parents[2]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)


@dataclass(kw_only=True)
class System:
    """One workspace of its own, under a short path, with a port and secrets of its own."""

    folder: Path
    port: int
    environ: dict[str, str] = field(default_factory=dict)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def make(cls, settings: Mapping[str, object]) -> System:
        """An empty folder and the environment for it; nothing is initialised yet."""
        folder = Path(tempfile.mkdtemp(prefix="qt-", dir="/tmp")).resolve()
        environ = cls.environment(folder)
        environ.update({f"QUANTUM_{name.upper()}": str(value) for name, value in settings.items()})
        return cls(folder=folder, port=int(environ["QUANTUM_GATEWAY_PORT"]), environ=environ)

    @staticmethod
    def environment(folder: Path) -> dict[str, str]:
        """Make what a system needs in its folder; the environment that keeps it to that folder, and to a free port."""
        (folder / "run").mkdir(mode=0o700)
        (folder / "ws").mkdir()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUANTUM_")}
        return {
            **inherited,
            "QUANTUM_KEYCHAIN": "file",
            "QUANTUM_GATEWAY_PORT": str(free_port()),
            # No pause of the machine is long enough for a lease to run out; tests of that have shorter ones.
            "QUANTUM_LEASE_SECONDS": "300",
            # Tests keep the machine busy, and the guard would rightly hold starts; its own tests switch it on.
            "QUANTUM_HOST_GUARD": "off",
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(REPOSITORY),
        }

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return self.folder / "ws"

    @property
    def workspace(self) -> Workspace:
        """Where everything lies in it."""
        return Workspace(self.root)

    @property
    def url(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.port}"

    # The command line

    def argv(self, *words: str) -> list[str]:
        """The command line as one types it."""
        return [sys.executable, "-m", "cli", *words]

    def quantum(self, *words: str, given: str | None = None, timeout: float = 90, code: int | None = None) -> Answer:
        """Run one command to its end; with `code`, that must be its exit code."""
        done = subprocess.run(
            self.argv(*words),
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=self.root,
            env=self.environ,
        )
        answer = Answer(code=done.returncode, out=done.stdout, err=done.stderr)
        assert "Traceback" not in answer.err, answer.err
        if code is not None:
            assert answer.code == code, f"quantum {' '.join(words)}: {answer}"
        return answer

    def ask(self, *words: str) -> Any:
        """The document of a command that must succeed, asked with `--json`."""
        return self.quantum(*words, "--json", code=0).document

    def start(self, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start one command and let it run; it is ended with the system, if it has not ended before."""
        started = subprocess.Popen(
            self.argv(*words),
            cwd=self.root,
            env=self.environ,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **more},
        )
        self._started.append(started)
        return started

    def init(self) -> System:
        """A workspace as after `quantum init`; see `initialised`."""
        initialise_by_copy(self.root)
        return self

    def up(self, *words: str) -> System:
        """`quantum up --detach`."""
        self.quantum("up", "--detach", *words, code=0)
        return self

    def agent(self, name: str, body: str, *manifest: str) -> None:
        """Write an agent of a few lines of shell, with lines of its manifest like `effects = "idempotent"`."""
        head = ["#!/bin/sh", "# /// script", "# [tool.quantum]", *(f"# {line}" for line in manifest), "# ///"]
        path = self.workspace.agents / f"{name}.sh"
        path.write_text("\n".join([*head, body, ""]))
        path.chmod(0o755)

    # Looking

    @property
    def running(self) -> Running:
        """What runs now; fails when nothing does."""
        running = read_running(self.workspace)
        assert running is not None, "nothing runs"
        return running

    def task(self, task_id: str) -> Any:
        """One task as it stands, from the gateway: a command of its own for each look would keep the machine busy."""
        status, document = self.http("GET", f"/tasks/{task_id}")
        assert status == 200, document
        return document["task"]

    @property
    def token(self) -> str:
        """The user's token, as `quantum token show` prints it."""
        token = open_secret_store(self.workspace, self.environ).get(USER_TOKEN, user_account(self.workspace))
        assert token is not None
        return token

    def http(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = {}, token: str | None = None
    ) -> tuple[int, Any]:
        """One request to the gateway with a token, the user's own if none is given; status and document."""
        sent = {"X-Auth-Token": self.token if token is None else token, **headers}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=sent, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=40) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def until(self, look: Callable[[], T | None], *, within: float = PATIENCE_SECONDS, what: str = "") -> T:
        """Look again and again until there is something to see; fails with the last thing seen."""
        return until(look, what or "it comes about", within=within)

    # The end

    def end(self) -> None:
        """End everything by pid, whatever state it is in, and remove the folder."""
        for started in self._started:
            if started.poll() is None:
                started.send_signal(signal.SIGTERM)
        try:
            for started in self._started:
                _reap(started)
            if self.workspace.state.exists():
                end(self.workspace, within=timedelta(seconds=25), clock=SystemClock())
        finally:
            kill(of_agents(self.root))
            shutil.rmtree(self.folder, ignore_errors=True)

    def words(self) -> str:
        """The end of every log, for whoever reads a failure."""
        told = []
        for path in [*sorted(self.workspace.logs.glob("*.out")), self.workspace.system_log]:
            if path.exists() and (lines := path.read_text(errors="replace").splitlines()):
                told.append("\n".join([f"--- {path.name}", *lines[-30:]]))
        return "\n".join(told)


def _reap(started: subprocess.Popen[bytes]) -> None:
    try:
        started.communicate(timeout=45)
    except subprocess.TimeoutExpired:
        started.kill()
        started.communicate()
    except ValueError:  # a test has read its pipes itself and closed them
        started.wait()


def kill(processes: list[Process]) -> None:
    """Kill what a test has left behind, each by its identity."""
    for process in processes:
        process.send(signal.SIGKILL)
