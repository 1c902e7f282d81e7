"""One workspace with its services as real processes: started, killed and waited for by pid."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import psutil

from cli.processes.identity import Process, process
from clients.coordinator import CoordinatorClient
from clients.coordinator_values import EVERYTHING, TaskFilter, TaskState, TaskView
from clients.health import is_serving
from clients.safety import SafetyClient
from foundation.own_python import child_environment
from foundation.secrets import DATABASE_KEY, SERVICE_TOKEN, USER_TOKEN, open_secret_store, service_account, user_account
from foundation.workspace import Workspace
from services.coordinator.adapters.sqlite import SqliteStore
from tests.acceptance.initialised import initialise_by_copy
from tests.acceptance.runs import Runs
from tests.waiting import PATIENCE_SECONDS, eventually, looks, until

LOG_LINES = 40
_PROBE_DEADLINE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs; `out` takes what it says on standard output and error."""

    name: str
    child: subprocess.Popen[bytes]
    out: Path

    @property
    def pid(self) -> int:
        """Its process."""
        return self.child.pid


class Deployment:
    """A workspace of the test's own. Services are named safety, coordinator, gateway and runner-<name>."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.workspace = Workspace(root.resolve())
        self.environ = child_environment(environ)
        self.running: dict[str, Service] = {}
        self.runner_program = "services.agent_runner"
        self.coordinator_program: tuple[str, ...] = ("services.coordinator",)
        self.runs = Runs(self.workspace.root)
        self._secrets = open_secret_store(self.workspace, self.environ)
        self.token = self._secret(USER_TOKEN, user_account(self.workspace))

    # -- processes

    def start(self, *names: str) -> None:
        """Start services, each in a session of its own; returns at once."""
        for name in names:
            assert name not in self.running, f"{name} runs already"
            module: tuple[str, ...] = (name,)
            if "runner-" in name:
                module = (self.runner_program, "--name", name.removeprefix("runner-"))
            if name == "safety":
                module = ("services.safety",)
            if name == "coordinator":
                module = self.coordinator_program
            out = self.workspace.logs / f"{name}.out"
            with out.open("ab") as file:
                child = subprocess.Popen(
                    [sys.executable, "-m", *module, "--workspace", str(self.workspace.root)],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    env=self.environ,
                    cwd=self.workspace.root,
                    start_new_session=True,
                )
            self.running[name] = Service(name, child, out)

    async def up(self, *names: str) -> None:
        """Start services and return when each serves, and each runner is attached."""
        self.start(*names)
        await self.serving(*names)

    async def serving(self, *names: str) -> None:
        """Return when each of these serves, and each runner is attached."""
        for name in names:
            await eventually(lambda name=name: self._serves(name), f"{name} serves")  # type: ignore[misc]

    async def _serves(self, name: str) -> bool:
        code = self.running[name].child.poll()
        assert code is None, f"{name} ended with {code}: {self.running[name].out.read_text()[-2000:]}"
        if not self.workspace.socket(name).exists():
            return False
        if not await is_serving(self.workspace.socket(name), deadline=_PROBE_DEADLINE):
            return False
        if not name.startswith("runner-") or "coordinator" not in self.running:
            return True
        async with self.coordinator() as client:
            return name.removeprefix("runner-") in [runner.name for runner in (await client.queue_stats()).runners]

    def kill(self, *names: str) -> None:
        """kill -9, by pid; each is gone, and waited for, when this returns."""
        for name in names:
            service = self.running.pop(name)
            service.child.kill()
            service.child.wait(PATIENCE_SECONDS)

    async def stop(self, *names: str) -> None:
        """SIGTERM, in this order, and wait for the clean end of each."""
        for name in names:
            service = self.running.pop(name)
            service.child.terminate()
            code = await asyncio.to_thread(service.child.wait, PATIENCE_SECONDS)
            assert code == 0, f"{name} ended with {code}: {service.out.read_text()[-2000:]}"

    async def restart(self) -> None:
        """End everything as `down` does, then start the same again."""
        names = list(self.running)
        await self.stop(*reversed(names))
        await self.up(*names)

    def processes(self) -> list[Process]:
        """Every process that carries this workspace in its environment, ours left out."""
        return [known for pid, _ in _environments(self.workspace.root) if (known := process(pid)) is not None]

    def scripts(self) -> dict[tuple[str, int], list[Process]]:
        """The processes of attempts that exist, by (task, fence): also what a script started and left behind."""
        found: dict[tuple[str, int], list[Process]] = {}
        for pid, environ in _environments(self.workspace.root):
            if (task := environ.get("QUANTUM_TASK_ID")) and (known := process(pid)):
                found.setdefault((task, int(environ["QUANTUM_FENCE"])), []).append(known)
        return found

    def end(self) -> None:
        """End everything that the deployment started, wardens and scripts too; by identity, never by name."""
        for service in self.running.values():
            service.child.kill()
            service.child.wait(PATIENCE_SECONDS)
        self.running.clear()
        until(self._killed, "nothing of it is left")

    def _killed(self) -> bool:
        """Kill what is left; whether there was nothing. The kernel takes its time to clear away what was killed."""
        left = self.processes()
        for one in left:
            one.send(signal.SIGCONT)
            one.send(signal.SIGKILL)
        return not left

    # -- clients

    def coordinator(self) -> CoordinatorClient:
        """A new client with the user's token; close it by `async with`."""
        return CoordinatorClient.dial(self.workspace.socket("coordinator"), token=lambda: self.token)

    def safety(self) -> SafetyClient:
        """A new client with the user's token; close it by `async with`."""
        return SafetyClient.dial(self.workspace.socket("safety"), token=lambda: self.token)

    def credential(self, service: str) -> str:
        """A service's own token, for a test that speaks in its name."""
        return self._secret(SERVICE_TOKEN, service_account(self.workspace, service))

    async def faults_of_store(self) -> Sequence[str]:
        """What is wrong with the coordinator's database, which nobody may have open; empty when it is whole."""
        key = bytes.fromhex(self._secret(DATABASE_KEY, user_account(self.workspace)))
        store = SqliteStore.open(self.workspace.coordinator_db, key=key)
        try:
            return await store.check()
        finally:
            await store.close()

    def _secret(self, kind: str, account: str) -> str:
        secret = self._secrets.get(kind, account)
        assert secret is not None, f"there is no {kind} for {account}"
        return secret

    # -- agents and what they say

    def agent(self, name: str, body: str, *, effects: str = "idempotent", manifest: str = "") -> None:
        """Write an agent: a shell script that notes its begin, does `body`, and notes its end when it exits."""
        text = (
            f'#!/bin/sh\n# /// script\n# [tool.quantum]\n# effects = "{effects}"\n'
            + "".join(f"# {line}\n" for line in manifest.splitlines())
            + "# ///\n"
            + f"{self.runs.preamble}\n{body}\n{self.runs.end_line}\n"
        )
        path = self.workspace.agents / f"{name}.sh"
        path.write_text(text)
        path.chmod(0o755)

    async def begun_within(self, seconds: float) -> int:
        """Watch for so long, or until one attempt has begun; how many have begun by then."""
        async for _ in looks(seconds):
            if self.runs.all():
                break
        return len(self.runs.all())

    def log_lines(self, action: str) -> list[str]:
        """The lines of the system's log with an action."""
        if not self.workspace.system_log.exists():
            return []
        return [line for line in self.workspace.system_log.read_text().splitlines() if f'"action": "{action}"' in line]

    def last_words(self) -> str:
        """The ends of the logs, for a test that failed."""
        parts = []
        for path in sorted({self.workspace.system_log, *self.workspace.logs.glob("*.out")}):
            lines = deque(path.read_text(errors="replace").splitlines(), LOG_LINES) if path.exists() else []
            if lines:
                parts.append(f"--- {path.name}\n" + "\n".join(line[:400] for line in lines))
        return "\n".join(parts)


@asynccontextmanager
async def deployed(folder: Path, **settings: object) -> AsyncIterator[Deployment]:
    """A new workspace under `folder`, with settings such as `lease_seconds=2`; everything is ended on leaving.

    What the services said last is printed when the test failed.
    """
    runtime = Path(tempfile.mkdtemp(prefix="qa"))  # short: a socket's path has at most 107 bytes
    root = folder / "workspace"
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("QUANTUM_")},
        # Tests keep the machine busy, and the guard would rightly hold starts; its own tests switch it on.
        "QUANTUM_HOST_GUARD": "off",
        "QUANTUM_KEYCHAIN": "file",
        # No pause of the machine is long enough for a lease to run out; tests of that have shorter ones.
        "QUANTUM_LEASE_SECONDS": "300",
        "QUANTUM_WORKSPACE": str(root.resolve()),
        "XDG_RUNTIME_DIR": str(runtime),
        **{f"QUANTUM_{name.upper()}": str(value) for name, value in settings.items()},
    }
    try:
        # The test itself looks for sockets where its services make them.
        with patch.dict(os.environ, XDG_RUNTIME_DIR=str(runtime)):
            await asyncio.to_thread(initialise_by_copy, root)
            deployment = Deployment(root, environ)
            try:
                yield deployment
            except BaseException:
                print(deployment.last_words(), file=sys.stderr)
                raise
            finally:
                deployment.end()
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


def _environments(root: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    for candidate in psutil.process_iter():
        if candidate.pid == os.getpid():
            continue
        try:
            environ = candidate.environ()
        except (psutil.Error, OSError):  # gone meanwhile, or somebody else's
            continue
        if environ.get("QUANTUM_WORKSPACE") == str(root):
            yield candidate.pid, environ


async def tasks_of(client: CoordinatorClient, chosen: TaskFilter = EVERYTHING) -> dict[str, TaskView]:
    """Every task, by id."""
    found: dict[str, TaskView] = {}
    cursor = ""
    while True:
        page = await client.list_tasks(chosen, limit=1000, cursor=cursor)
        found.update((task.id, task) for task in page.tasks)
        if not page.next:
            return found
        cursor = page.next


async def ended(client: CoordinatorClient, count: int, *, within: float = PATIENCE_SECONDS) -> dict[TaskState, int]:
    """Return the counts per state when `count` tasks have ended."""

    seen: dict[TaskState, int] = {}

    async def look() -> dict[TaskState, int] | None:
        nonlocal seen
        seen = {state: number for state, number in (await client.queue_stats()).counts.items() if number}
        return seen if sum(number for state, number in seen.items() if state.ended) >= count else None

    try:
        return await eventually(look, f"{count} tasks have ended", within=within)
    except AssertionError as error:
        raise AssertionError(f"{error}; counts {seen}") from None
