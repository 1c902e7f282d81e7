"""The runner's own door on its local socket: describe, follow a log, drain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc.aio

from foundation.clock import Clock
from foundation.errors import NotFound
from protos.agent_runner.v1 import agent_runner_pb2 as pb
from protos.agent_runner.v1 import agent_runner_pb2_grpc
from services.agent_runner.app.reading import Reading
from services.agent_runner.app.runner import Runner
from services.agent_runner.convert import description

# Quoted: generic in their type stubs only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AgentRunnerServicer(agent_runner_pb2_grpc.AgentRunnerServiceServicer):
    """See protos/agent_runner/v1."""

    def __init__(self, name: str, warden_pid: int, runner: Runner, reading: Reading, clock: Clock) -> None:
        self._name = name
        self._warden_pid = warden_pid
        self._runner = runner
        self._reading = reading
        self._clock = clock

    async def DescribeRunner(self, request: pb.DescribeRunnerRequest, context: Context) -> pb.DescribeRunnerResponse:
        """Say what is held here and how limits are enforced."""
        return description(
            name=self._name,
            slots=self._runner.slots,
            attached=self._runner.attached,
            draining=self._runner.draining,
            warden_pid=self._warden_pid,
            attempts=self._runner.view(),
            enforcement=self._runner.enforcement,
            held_reason=self._runner.host.held_reason,
            confinement=self._runner.confinement,
            lease_seconds=self._runner.terms.lease_seconds,
            now=self._clock.now(),
            boottime=self._clock.boottime(),
        )

    async def FollowLog(self, request: pb.FollowLogRequest, context: Context) -> AsyncIterator[pb.FollowLogResponse]:
        """Stream an attempt's output until it has ended."""
        held = self._reading.find(self._runner.view(), request.task_id)
        if held is None:
            raise NotFound("attempt_not_here", f"This runner does not hold task {request.task_id}.")
        async for data, offset in self._reading.follow(held, request.offset):
            yield pb.FollowLogResponse(data=data, offset=offset)

    async def DrainRunner(self, request: pb.DrainRunnerRequest, context: Context) -> pb.DrainRunnerResponse:
        """Take no more work."""
        handed_back, running = await self._runner.drain_and_count()
        return pb.DrainRunnerResponse(handed_back=handed_back, running=running)
