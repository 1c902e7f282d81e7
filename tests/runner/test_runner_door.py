"""The runner's own door: describe, follow a log, drain; through a real server and the real client."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from clients.attachment_values import AttemptRef, Events, Lease, LeaseTerms, Returned, Started, Welcome
from clients.runner import RunnerClient
from foundation.auth import Caller
from foundation.clock import SystemClock
from foundation.errors import Denied, NotFound
from foundation.log import get_logger
from foundation.rpc.server import RpcServer
from protos.agent_runner.v1 import agent_runner_pb2, agent_runner_pb2_grpc
from protos.scopes import scopes_of
from services.agent_runner.adapters.agent_logs import LogFiles
from services.agent_runner.adapters.kept_output import OutputBounds, SlotOutputs
from services.agent_runner.adapters.script_files import LocalScripts
from services.agent_runner.app.outbox import Outbox
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.runner import Runner
from services.agent_runner.servicer import AgentRunnerServicer
from services.agent_runner.warden.protocol import Ended, Message, Refused, Spawned, Start, Terms, Withdraw
from tests.runner.no_secrets import NoSecrets

CLOCK = SystemClock()


class SilentWarden:
    """Notes what it is told and does nothing."""

    def __init__(self) -> None:
        self.orders: list[Message] = []
        self._changed = asyncio.Event()

    def tell(self, *orders: Message) -> None:
        """See `WardenLink`."""
        self.orders += orders
        self._changed.set()

    async def told(self, kind: type[Message]) -> None:
        """Wait until the newest order is of a kind."""
        async with asyncio.timeout(60):
            while not isinstance(self.orders[-1], kind):
                self._changed.clear()
                await self._changed.wait()


class TokenIsScope:
    """A token is the scope that it grants."""

    async def verify(self, token: str) -> Caller:
        """See `TokenVerifier`."""
        return Caller(token_id="t", name="test", scopes=frozenset({token}))


class Door:
    """A runner with one slot behind its own door."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = Outbox()
        self.warden = SilentWarden()
        log = get_logger("agent_runner")
        logs = LogFiles(folder / "logs", CLOCK, asyncio.get_running_loop(), bytes_max=10**7, files_max=1)
        bounds = OutputBounds(result=1000, head=1000, tail=1000, line=1000, report=1000)
        self.reading = Reading(SlotOutputs(folder / "slots", folder / "kept", logs, bounds), 1000, log)
        self.runner = Runner(
            slots=1,
            prefetch=5,
            terms=Welcome(20.0, 5.0, ()),
            enforcement={"memory": "supervised"},
            workspace=str(folder),
            gateway="http://127.0.0.1:5005",
            warden=self.warden,
            reading=self.reading,
            secrets=NoSecrets(),
            outbox=self.outbox,
            scripts=LocalScripts(),
            clock=CLOCK,
            log=log,
        )
        self.server = RpcServer(
            "runner-t",
            verifier=TokenIsScope(),
            scopes=scopes_of([agent_runner_pb2.DESCRIPTOR]),
            logger=log,
            clock=CLOCK,
        )
        self.server.add(
            agent_runner_pb2_grpc.add_AgentRunnerServiceServicer_to_server,
            AgentRunnerServicer("t", 4711, self.runner, self.reading, CLOCK),
            "quantum.agent_runner.v1.AgentRunnerService",
        )

    @asynccontextmanager
    async def client(self, token: str) -> AsyncIterator[RunnerClient]:
        """A client with a token."""
        async with RunnerClient.dial(self.folder / "s" / "runner.sock", token=lambda: token) as client:
            yield client


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    folder = Path(tempfile.mkdtemp(prefix="q", dir="/tmp"))
    (folder / "s").mkdir(mode=0o700)
    door = Door(folder)
    await door.server.start(folder / "s" / "runner.sock")
    yield door
    await door.server.stop(timedelta(0))
    shutil.rmtree(folder)


def _lease(task: str) -> Lease:
    return Lease(AttemptRef(task, 7), 1, LeaseTerms(agent="hello", project="", script="/bin/true", folder="/"))


async def test_describe_tells_what_runs_and_what_waits(door: Door) -> None:
    door.runner.take([_lease("a"), _lease("b")])
    door.runner.news([Spawned("a:7", 123, CLOCK.boottime(), 0)])
    async with door.client("read") as client:
        view = await client.describe()
    assert (view.name, view.slots, view.warden_pid, view.attached, view.draining) == ("t", 1, 4711, False, False)
    assert [(held.task_id, held.pid) for held in view.attempts] == [("a", 123), ("b", None)]
    assert view.attempts[0].started_at is not None and view.attempts[1].started_at is None
    assert view.attempts[0].time_left is not None and view.attempts[0].time_left <= timedelta(seconds=20)
    assert view.enforcement == {"memory": "supervised"}


async def test_drain_hands_back_what_waits(door: Door) -> None:
    door.runner.take([_lease("a"), _lease("b")])
    assert [type(order) for order in door.warden.orders] == [Terms, Start, Start]
    async with door.client("operate") as client:
        draining = asyncio.create_task(client.drain())
        await door.warden.told(Withdraw)
        assert door.warden.orders[-1] == Withdraw(["a:7", "b:7"], "the runner drains")
        # One of them had been spawned already.
        door.runner.news([Spawned("a:7", 123, CLOCK.boottime(), 0)])
        door.runner.news([Refused("b:7", "withdrawn", "the runner drains")])
        drained = await draining
    assert (drained.handed_back, drained.running) == (1, 1)
    said = [event for message in await door.outbox.take() if isinstance(message, Events) for event in message.events]
    assert isinstance(said[0], Started) and said[1:] == [Returned(AttemptRef("b", 7), "the runner drains")]
    door.runner.take([_lease("c")])
    assert len(door.runner.view()) == 1


async def test_scopes_are_asked_for(door: Door) -> None:
    async with door.client("read") as client:
        with pytest.raises(Denied):
            await client.drain()


async def test_follow_streams_until_the_end(door: Door) -> None:
    slot = door.folder / "slots" / "0"
    slot.mkdir(parents=True)
    (slot / "out").write_bytes(b"one\n")
    door.runner.take([_lease("a")])
    door.runner.news([Spawned("a:7", 123, CLOCK.boottime(), 0)])
    async with door.client("read") as client:
        chunks = client.follow_log("a")
        assert await anext(chunks) == (b"one\n", 4)
        (slot / "out").write_bytes(b"one\ntwo")
        now = CLOCK.boottime()
        door.runner.news(
            [
                Ended(
                    "a:7",
                    0,
                    b"",
                    0,
                    "exit",
                    "",
                    now - 1,
                    now,
                    1.0,
                    0.1,
                    5,
                    7,
                    reported=False,
                    tree_dead=True,
                    stragglers=0,
                )
            ]
        )
        assert [chunk async for chunk in chunks] == [(b"two", 7)]
        with pytest.raises(NotFound):
            await anext(client.follow_log("unknown"))
