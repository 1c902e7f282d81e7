"""A coordinator that says what the test wants, on a real socket, and a runner as a real process beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from foundation.known_settings import KNOWN
from foundation.secrets import SERVICE_TOKEN, open_secret_store, service_account
from foundation.workspace import Workspace
from protos.coordinator.v1 import runners_pb2 as pb
from protos.coordinator.v1 import runners_pb2_grpc
from services.agent_runner.domain.pace import Pace
from tests.runner.support import LEASE_SECONDS, LOOK_SECONDS, ROOT
from tests.waiting import PATIENCE_SECONDS, Patience

PREFETCH = int(KNOWN["prefetch"].default)


@dataclass
class Offer:
    """A lease to be handed out, with terms of its own."""

    task_id: str
    fence: int
    terms: pb.LeaseTerms
    own: dict[str, Any]

    @property
    def script(self) -> str:
        """Path of the script."""
        return self.terms.script


class FakeCoordinator(runners_pb2_grpc.RunnerServiceServicer):
    """Welcomes, acknowledges heartbeats and results unless told otherwise, and notes everything."""

    def __init__(self, lease_seconds: float = LEASE_SECONDS, heartbeat_seconds: float = 0.5) -> None:
        self.lease_seconds = lease_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self.acks_heartbeats = True
        self.acks_results = True
        self.disowned: list[tuple[str, int]] = []
        self.hellos: list[pb.RunnerHello] = []
        self.seen: list[pb.AttachRequest] = []
        self.events: list[pb.AttemptEvent] = []
        self.limits: dict[str, set[str]] = {}
        """The names of the limits in each task's result."""
        self.told_at = 0.0
        self.scripts: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self._changed = asyncio.Event()
        self._outgoing: asyncio.Queue[pb.AttachResponse | None] = asyncio.Queue()
        self._server: grpc.aio.Server | None = None

    async def start(self, path: Path) -> None:
        """Serve on a socket."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._server = grpc.aio.server()
        runners_pb2_grpc.add_RunnerServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix:{path}")
        await self._server.start()

    async def stop(self) -> None:
        """Go away; streams break."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def Attach(
        self, request_iterator: AsyncIterator[pb.AttachRequest], context: Any
    ) -> AsyncIterator[pb.AttachResponse]:
        """One stream at a time."""
        hello = await anext(request_iterator)
        self._outgoing = asyncio.Queue()
        listening = asyncio.create_task(self._listen(request_iterator))
        yield pb.AttachResponse(
            welcome=pb.Welcome(
                lease=_duration(self.lease_seconds),
                heartbeat=_duration(self.heartbeat_seconds),
                disowned=[pb.AttemptRef(task_id=task, fence=fence) for task, fence in self.disowned],
            )
        )
        self.hellos.append(hello.hello)
        self._note()
        try:
            while (message := await self._outgoing.get()) is not None:
                yield message
        finally:
            listening.cancel()

    async def GetScript(self, request: pb.GetScriptRequest, context: Any) -> pb.GetScriptResponse:
        """The text of a script that the test has put here."""
        self.fetched.append(request.agent)
        return pb.GetScriptResponse(text=self.scripts[request.sha256])

    async def _listen(self, requests: AsyncIterator[pb.AttachRequest]) -> None:
        try:
            async for request in requests:
                self.seen.append(request)
                self._answer(request)
                self._note()
        finally:
            self._outgoing.put_nowait(None)

    def _answer(self, request: pb.AttachRequest) -> None:
        match request.WhichOneof("message"):
            case "heartbeat" if self.acks_heartbeats:
                ack = pb.HeartbeatAck(sequence=request.heartbeat.sequence)
                self.say(pb.AttachResponse(heartbeat_ack=ack))
            case "events":
                self.events.extend(request.events.events)
                for event in request.events.events:
                    if event.HasField("result"):
                        shared = request.events.limits
                        self.limits[event.attempt.task_id] = {
                            limit.name
                            for limit in (shared[event.result.limits - 1].limits if event.result.limits else ())
                        }
                done = [event.attempt for event in request.events.events if event.WhichOneof("event") == "result"]
                if done and self.acks_results:
                    self.say(pb.AttachResponse(result_acks=pb.ResultAcks(accepted=done)))

    def _note(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def say(self, response: pb.AttachResponse) -> None:
        """Say something on the stream."""
        self._outgoing.put_nowait(response)

    def lease(self, *offers: Offer) -> None:
        """Hand out leases."""
        message = pb.Leases()
        for position, offer in enumerate(offers):
            message.terms.append(offer.terms)
            message.leases.add(**offer.own, task_id=offer.task_id, fence=offer.fence, attempt=1, terms=position)
        self.say(pb.AttachResponse(leases=message))

    def order(self, lease: Offer, kind: pb.OrderKind, reason: str = "") -> None:
        """Give an order about an attempt."""
        ref = pb.AttemptRef(task_id=lease.task_id, fence=lease.fence)
        order = pb.Order(attempt=ref, kind=kind, reason=reason)
        self.say(pb.AttachResponse(orders=pb.Orders(orders=[order])))

    async def until(self, look: Callable[[], Any], what: str) -> Any:
        """Wait until something was said that makes `look` true, and return that."""
        patience = Patience()
        while not (found := look()):
            assert not patience.spent(), f"waited {PATIENCE_SECONDS:g} s for {what}; seen: {self.seen[-5:]}"
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)
        return found

    async def event(self, lease: Offer, kind: str) -> Any:
        """The first event of a kind about an attempt."""

        def look() -> Any:
            for event in self.events:
                same = (event.attempt.task_id, event.attempt.fence) == (lease.task_id, lease.fence)
                if same and event.WhichOneof("event") == kind:
                    return getattr(event, kind)
            return None

        return await self.until(look, f"{kind} of {lease.task_id}")

    async def result(self, lease: Offer) -> pb.Result:
        """The result of an attempt."""
        found = await self.event(lease, "result")
        assert isinstance(found, pb.Result)
        return found

    async def some_credit(self) -> None:
        """Wait until the newest credit asks for work."""

        def look() -> bool:
            credits = [r.credit.leases_max for r in self.seen if r.WhichOneof("message") == "credit"]
            return bool(credits) and credits[-1] > 0

        await self.until(look, "a credit of one or more")

    async def credit(self, leases_max: int) -> None:
        """Wait until the newest credit is this."""

        def look() -> bool:
            credits = [r.credit.leases_max for r in self.seen if r.WhichOneof("message") == "credit"]
            return bool(credits) and credits[-1] == leases_max

        await self.until(look, f"a credit of {leases_max}")


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


class RunnerUnderTest:
    """A workspace, a fake coordinator and a runner process."""

    def __init__(self, root: Path, coordinator: FakeCoordinator) -> None:
        self.coordinator = coordinator
        self.workspace = Workspace(root)
        self.run_dir = tempfile.mkdtemp(prefix="q", dir="/tmp")
        self.environ = {
            **os.environ,
            "XDG_RUNTIME_DIR": self.run_dir,
            "QUANTUM_KEYCHAIN": "file",
            # Tests keep the machine busy, and the guard would rightly hold starts; its own tests switch it on.
            "QUANTUM_HOST_GUARD": "off",
            "PYTHONPATH": str(ROOT),
        }
        (root / "config").mkdir(parents=True)
        (root / "config" / "agent_config.json").write_text("{}")
        (root / "agents").mkdir()
        self.workspace.state.mkdir(mode=0o700)
        store = open_secret_store(self.workspace, self.environ)
        store.set(SERVICE_TOKEN, service_account(self.workspace, "runner"), "qtm_not_a_real_one")
        self.process: asyncio.subprocess.Process | None = None
        self._leases = 0

    @property
    def socket(self) -> Path:
        """The coordinator's socket."""
        return Path(self.run_dir, "quantum", self.workspace.key12, "coordinator.sock")

    async def start(self, **settings: object) -> None:
        """Start the coordinator (unless it runs) and the runner; returns when it is attached."""
        await self.coordinator.start(self.socket)
        await self.start_runner(**settings)
        slots = int(str(settings.get("max_concurrent_agents", 10)))
        await self.coordinator.credit(slots + Pace(slots, PREFETCH).at_hand)

    async def start_runner(self, **settings: object) -> None:
        """Start the runner's process."""
        environ = {**self.environ, **{f"QUANTUM_{name.upper()}": str(value) for name, value in settings.items()}}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.agent_runner", "--name", "t", "--workspace", str(self.workspace.root)),
            env=environ,
            cwd=ROOT,
        )

    def lease(self, script: str, *, agent: str = "hello", fence: int = 7, **fields: Any) -> Offer:
        """A lease of a shell script with these lines."""
        self._leases += 1
        path = self.workspace.agents / f"agent_{self._leases}.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        own = {name: fields.pop(name) for name in list(fields) if name in pb.Lease.DESCRIPTOR.fields_by_name}
        terms = pb.LeaseTerms(
            agent=agent,
            script=str(path),
            folder=str(self.workspace.root),
            grace=_duration(10),
            **fields,
        )
        return Offer(f"task{self._leases}", fence, terms, own)

    def signal(self, number: signal.Signals) -> None:
        """Signal the runner's process."""
        assert self.process is not None
        self.process.send_signal(number)

    async def wait(self) -> int:
        """The runner's exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS)

    async def close(self) -> None:
        """End everything."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.wait()
        await self.coordinator.stop()
