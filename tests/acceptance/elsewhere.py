"""Another host, as far as one machine can play it: folder, keychain and sockets of its own, reached over TLS alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from cli.keys.authority import renew_identities
from cli.processes.identity import of_agents
from foundation.clock import SystemClock
from foundation.secrets import open_secret_store
from foundation.workspace import Workspace
from tests.acceptance.deployment import Deployment, deployed
from tests.acceptance.runs import Runs
from tests.acceptance.system import Answer, kill
from tests.ports import free_port
from tests.waiting import PATIENCE_SECONDS, eventually

SECONDS = 120


class OtherHost:
    """Where a runner joins. `within` is put before each command, like `ip netns exec NAME`."""

    def __init__(self, folder: Path, environ: dict[str, str], within: Sequence[str] = ()) -> None:
        self.folder = folder
        self.environ = environ
        self.child: subprocess.Popen[bytes] | None = None
        self._within = tuple(within)

    @property
    def workspace(self) -> Workspace:
        """The runner's own."""
        return Workspace(self.folder / "runner")

    @property
    def runs(self) -> Runs:
        """What scripts noted here."""
        return Runs(self.workspace.root)

    def argv(self, *words: str) -> list[str]:
        """A command as one types it there."""
        return [*self._within, sys.executable, "-m", "cli", *words]

    def quantum(self, *words: str, given: str = "") -> Answer:
        """Run one command there to its end."""
        done = subprocess.run(
            self.argv(*words),
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            cwd=self.folder,
            env=self.environ,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(code=done.returncode, out=done.stdout, err=done.stderr)

    def join(self, invitation: str, *more: str) -> Answer:
        """Join, without starting anything."""
        return self.quantum(
            "runner", "join", "--from", "-", "--folder", "runner", "--no-start", *more, given=invitation
        )

    def start(self) -> None:
        """Start the runner in the foreground, as a process of the test's own."""
        with (self.folder / "out").open("ab") as out:
            self.child = subprocess.Popen(
                self.argv("runner", "start", "--folder", "runner"),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env=self.environ,
                start_new_session=True,
            )

    async def code(self) -> int:
        """The exit code of the runner, once it has ended."""
        assert self.child is not None
        return await asyncio.to_thread(self.child.wait, PATIENCE_SECONDS)

    def said(self) -> str:
        """What the runner wrote to its standard output and error."""
        return (self.folder / "out").read_text()

    def log(self, action: str) -> int:
        """How many lines of its log have an action."""
        path = self.workspace.system_log
        return path.read_text().count(f'"action": "{action}"') if path.exists() else 0

    def last_words(self) -> str:
        """The ends of what it said and logged, for a test that failed."""
        paths = [path for path in (self.folder / "out", self.workspace.system_log) if path.exists()]
        return "\n".join(f"--- there, {path.name}\n{path.read_text()[-4000:]}" for path in paths)

    def scripts(self) -> list[int]:
        """The processes of attempts that exist there."""
        return [one.pid for one in of_agents(self.workspace.root)]

    def end(self) -> None:
        """End everything there, by identity."""
        if self.child is not None and self.child.poll() is None:
            inner = psutil.Process(self.child.pid).children(recursive=True)
            for process in [psutil.Process(self.child.pid), *inner]:
                if process.is_running():
                    process.kill()
            self.child.wait(PATIENCE_SECONDS)
        kill(of_agents(self.workspace.root))


@asynccontextmanager
async def fleet(folder: Path, *, address: str = "127.0.0.1", **settings: object) -> AsyncIterator[Deployment]:
    """Safety and coordinator of a workspace, listening on TCP, and no runner."""
    listen = {f"{name}_listen": f"{address}:{free_port()}" for name in ("coordinator", "safety")}
    # What else this machine does is not what is tried here.
    async with deployed(folder, **listen, **{"host_guard": "off", **settings}) as system:
        secrets = open_secret_store(system.workspace, system.environ)
        renew_identities(system.workspace, secrets, system.environ, now=SystemClock().now())
        await system.up("safety", "coordinator")
        yield system


@asynccontextmanager
async def other_host(folder: Path, within: Sequence[str] = (), **settings: object) -> AsyncIterator[OtherHost]:
    """A host where nothing is yet; everything on it is ended on leaving."""
    folder.mkdir()
    runtime = Path(tempfile.mkdtemp(prefix="qb"))
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("QUANTUM_")},
        "QUANTUM_KEYCHAIN": "file",
        "QUANTUM_HOST_GUARD": "off",  # what else this machine does is not what is tried here
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        **{f"QUANTUM_{name.upper()}": str(value) for name, value in settings.items()},
    }
    host = OtherHost(folder, environ, within)
    try:
        yield host
    except BaseException:
        print(host.last_words(), file=sys.stderr)
        raise
    finally:
        host.end()
        shutil.rmtree(runtime, ignore_errors=True)


def command(system: Deployment, *words: str) -> Answer:
    """A command on the coordinator's machine."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=system.workspace.root,
        env=system.environ,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Answer(code=done.returncode, out=done.stdout, err=done.stderr)


async def invite(system: Deployment, name: str = "attic", *more: str) -> str:
    """An invitation, as a person gets it."""
    answer = await asyncio.to_thread(command, system, "runner", "invite", name, *more)
    assert answer.code == 0, answer
    return answer.out


async def attached(system: Deployment, name: str = "attic") -> None:
    """Return when a runner is attached."""
    async with system.coordinator() as client:

        async def look() -> bool:
            return name in [runner.name for runner in (await client.queue_stats()).runners]

        await eventually(look, f"{name} is attached")
