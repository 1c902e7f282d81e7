"""`make demo`: starts everything, runs real agents on this very repository over HTTP, shuts everything down.

What you see is what the gateway answers; nothing is read from a database or made up. Exit code 0 means that every agent
succeeded and that every process has gone.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.over_http import Gateway

REPOSITORY = Path(__file__).parents[1]
PROJECT = "quantum"
TASKS: tuple[Mapping[str, object], ...] = (
    {"agent": "hello", "params": {"name": "demo"}, "priority": 9},
    {"agent": "todo-scan", "project": PROJECT},
    {"agent": "audit-large-files", "project": PROJECT, "params": {"top": 5}},
    {"agent": "code-health", "project": PROJECT, "ref": "health"},
    {"agent": "smoke", "project": PROJECT, "depends_on": ["#health"]},
)
ENDED = ("succeeded", "failed", "cancelled", "dead")
WAIT_SECONDS = 180.0


class DemoFailed(Exception):
    """Something did not go as the README promises; the message says what."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line that one task printed; None: its stream has ended."""

    task_id: str
    text: str | None


class Workspace:
    """A temporary workspace, and the command line pointed at it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self._port = port
        self.address = f"http://127.0.0.1:{port}"
        self._environment = {
            **os.environ,
            # It is to be seen at work also on a machine that others keep busy.
            "QUANTUM_HOST_GUARD": "off",
            "QUANTUM_WORKSPACE": str(folder),
            "QUANTUM_GATEWAY_PORT": str(port),
            # Neither the user's keychain nor their runtime folder is touched.
            "QUANTUM_KEYCHAIN": "file",
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "PYTHONPATH": str(REPOSITORY),
        }

    def quantum(self, *words: str) -> str:
        """Run one command and return what it printed; raises DemoFailed with its own words when it fails."""
        completed = subprocess.run(
            [sys.executable, "-m", "cli", *words],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
        )
        if completed.returncode != 0:
            said = (completed.stderr or completed.stdout).strip()
            raise DemoFailed(f"quantum {' '.join(words)} ended with exit code {completed.returncode}: {said}")
        return completed.stdout.strip()

    def require_silence(self) -> None:
        """Raise DemoFailed if anybody still listens on the gateway's port."""
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                raise DemoFailed(f"after quantum down somebody still listens on port {self._port}.")


def main() -> int:
    """Run the demo; 0 when all of it went well."""
    # Ended from outside it ends what it has started, as it does at Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    # A short path on every system: a socket's may not exceed 103 bytes.
    folder = Path(tempfile.mkdtemp(prefix="quantum-demo-", dir="/tmp")).resolve()
    try:
        (folder / "run").mkdir(mode=0o700)
        show(Workspace(folder, free_port()))
    except (DemoFailed, OSError, subprocess.TimeoutExpired) as failure:
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        log = folder / "logs" / "system.log"
        if log.is_file():
            print("The end of logs/system.log:", *log.read_text().splitlines()[-15:], sep="\n  ", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def show(workspace: Workspace) -> None:
    """The demo itself, step by step."""
    step("A workspace of its own, with keys, databases and a token")
    workspace.quantum("init")
    workspace.quantum("projects", "add", PROJECT, str(REPOSITORY))
    print(f"  {workspace.folder}, project {PROJECT} = {REPOSITORY}")
    with running(workspace):
        gateway = Gateway(workspace.address, workspace.quantum("token", "show"))
        step(f"Healthy, says {workspace.address}/health")
        print(f"  {expect(200, *gateway.get('/health'))['status']}")
        refuse_a_misspelling(gateway)
        step(f"{len(TASKS)} tasks go in with one POST /tasks/queue; what they print, live")
        tasks = expect(201, *gateway.post("/tasks/queue", {"tasks": TASKS}))["tasks"]
        follow(gateway, {task["id"]: task["agent"] for task in tasks})
        results = [wait_for_end(gateway, task["id"]) for task in tasks]
    step("What was recorded")
    report(results)
    if any(task["state"] != "succeeded" for task in results):
        raise DemoFailed("not every agent succeeded.")
    print("\nEvery agent succeeded, and everything that was started has gone.")


@contextmanager
def running(workspace: Workspace) -> Iterator[None]:
    """Everything up, and down again whatever happens in between."""
    step("Five processes: safety, coordinator, a runner with its warden, the gateway")
    try:
        workspace.quantum("up", "--detach")
        yield
    finally:
        step("Shutting down")
        workspace.quantum("down")
        workspace.require_silence()


def refuse_a_misspelling(gateway: Gateway) -> None:
    """Show that bad input changes nothing and is answered with a sentence."""
    step("A name with a typo is refused")
    status, problem = gateway.post("/tasks/queue", {"agent": "code-helth"})
    if status != 404:
        raise DemoFailed(f"an unknown agent was answered with {status}, not 404: {problem}")
    print(f"  404 {problem.get('detail') or problem.get('title')}")


def follow(gateway: Gateway, agents: Mapping[str, str]) -> None:
    """Print what every task prints, as it comes, until all their streams have ended."""
    lines: queue.Queue[Line] = queue.Queue()
    for task_id in agents:
        threading.Thread(target=_forward, args=(gateway, task_id, lines), daemon=True).start()
    width = max(map(len, agents.values()))
    open_streams = len(agents)
    while open_streams:
        line = lines.get(timeout=WAIT_SECONDS)
        if line.text is None:
            open_streams -= 1
        else:
            print(f"  {agents[line.task_id]:{width}} │ {line.text}", flush=True)


def _forward(gateway: Gateway, task_id: str, lines: queue.Queue[Line]) -> None:
    try:
        for text in gateway.log_lines(task_id):
            lines.put(Line(task_id=task_id, text=text))
    except OSError as error:
        lines.put(Line(task_id=task_id, text=f"(the live log broke off: {error})"))
    finally:
        lines.put(Line(task_id=task_id, text=None))


def wait_for_end(gateway: Gateway, task_id: str) -> dict[str, Any]:
    """Return the task as it ended; the stream's end and the record of it may be a moment apart."""
    pause = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.2)):
        task: dict[str, Any] = expect(200, *gateway.get(f"/tasks/{task_id}"))["task"]
        if task["state"] in ENDED:
            return task
        pause.wait(0.2)
    raise DemoFailed(f"task {task_id} has not ended after {WAIT_SECONDS:g} s.")


def report(tasks: list[dict[str, Any]]) -> None:
    """Print one line per task, and the summary that its agent reported, which is its last line of output."""
    for task in tasks:
        seconds = task.get("duration_seconds")
        took = "not known" if seconds is None else f"{seconds:.1f} s"
        said = (task.get("output_tail") or "").strip().splitlines()
        print(
            f"  {task['agent']:18} {task['state']:10} exit {task['exit_code']}  {took:>9}  {said[-1] if said else ''}"
        )


def expect(status: int, answered: int, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document of an answer that has the status it should have."""
    if answered != status:
        raise DemoFailed(f"the gateway answered {answered} instead of {status}: {document}")
    return document


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def step(words: str) -> None:
    """Begin a step of the demo."""
    print(f"\n● {words}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
