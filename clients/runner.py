"""The client of a runner's own door, on its local socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

import grpc.aio

from clients.calling import DEADLINE, Client, ask, listen, repeatable
from clients.wire_values import duration_in, moment_in
from protos.agent_runner.v1 import agent_runner_pb2 as pb
from protos.agent_runner.v1 import agent_runner_pb2_grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAttempt:
    """An attempt that a runner holds; `pid` is None while it is not yet spawned."""

    task_id: str
    fence: int
    agent: str
    pid: int | None
    started_at: datetime | None
    time_left: timedelta | None
    """Until its warden ends it, unless the lease is renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerView:
    """A runner as it describes itself; `enforcement` says per limit: kernel, supervised or none."""

    name: str
    slots: int
    attached: bool
    draining: bool
    warden_pid: int
    attempts: Sequence[HeldAttempt]
    enforcement: Mapping[str, str]
    held_reason: str = ""
    """Why nothing new starts on its machine; empty: it does."""
    sandbox: str = ""
    """What makes a sandbox on its machine; empty: nothing does."""
    sandbox_missing: str = ""
    """What its machine lacks for the best sandbox; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain found: leases handed back, and attempts that still run to their end."""

    handed_back: int
    running: int


class RunnerClient(Client):
    """Speaks to one runner; to be made and used inside one running loop. Raises QuantumError alone."""

    sent_again = repeatable([pb.DESCRIPTOR])

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel is closed by `close`."""
        super().__init__(channel)
        self._stub = agent_runner_pb2_grpc.AgentRunnerServiceStub(channel)

    async def describe(self, *, deadline: timedelta = DEADLINE) -> RunnerView:
        """What the runner is and what it holds."""
        answer = await ask(self._stub.DescribeRunner, pb.DescribeRunnerRequest(), deadline)
        return RunnerView(
            name=answer.name,
            slots=answer.slots,
            attached=answer.attached,
            draining=answer.draining,
            warden_pid=answer.warden_pid,
            attempts=[_attempt(attempt) for attempt in answer.attempts],
            enforcement=dict(answer.enforcement),
            held_reason=answer.held_reason,
            sandbox=answer.sandbox,
            sandbox_missing=answer.sandbox_missing,
        )

    async def follow_log(self, task_id: str, *, offset: int = 0) -> AsyncGenerator[tuple[bytes, int], None]:
        """(data, offset after it) of an attempt's output until it has ended; NotFound when it is not held here."""
        call = self._stub.FollowLog(pb.FollowLogRequest(task_id=task_id, offset=offset))
        async with aclosing(listen(call)) as chunks:
            async for chunk in chunks:
                yield chunk.data, chunk.offset

    async def drain(self, *, deadline: timedelta = DEADLINE) -> Drained:
        """Take no more work, hand back what is not spawned, let the rest come to its end."""
        answer = await ask(self._stub.DrainRunner, pb.DrainRunnerRequest(), deadline)
        return Drained(answer.handed_back, answer.running)


def _attempt(wire: pb.HeldAttempt) -> HeldAttempt:
    return HeldAttempt(
        task_id=wire.task_id,
        fence=wire.fence,
        agent=wire.agent,
        pid=wire.pid or None,
        started_at=moment_in(wire, "started_at"),
        time_left=duration_in(wire, "time_left"),
    )
