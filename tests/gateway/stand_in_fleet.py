"""One runner, which can be drained."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from foundation.auth import current_caller
from foundation.rpc.server import RpcServer
from protos.coordinator.v1 import fleet_pb2, fleet_pb2_grpc, queue_pb2

Context = grpc.aio.ServicerContext[object, object]
CONTRACT = fleet_pb2


def add_to(server: RpcServer, drained: dict[str, str]) -> None:
    """Put it behind the coordinator's door."""
    runners = Runners(drained)
    server.add(fleet_pb2_grpc.add_FleetServiceServicer_to_server, runners, "quantum.coordinator.v1.FleetService")


def runner(drained: Mapping[str, str]) -> queue_pb2.Runner:
    """The one there is."""
    return queue_pb2.Runner(
        name="local",
        host="here",
        slots=10,
        labels={"os": "linux"},
        attached_at=Timestamp(seconds=1_767_225_600),
        memory_bytes=1 << 34,
        memory_available_bytes=-1,
        cpu_share=-1,
        drained=drained.get("local", ""),
    )


class Runners(fleet_pb2_grpc.FleetServiceServicer):
    """`drained` has who is drained, and by whom."""

    def __init__(self, drained: dict[str, str]) -> None:
        self.drained = drained

    async def ListRunners(
        self, request: fleet_pb2.ListRunnersRequest, context: Context
    ) -> fleet_pb2.ListRunnersResponse:
        """The one there is."""
        return fleet_pb2.ListRunnersResponse(runners=[runner(self.drained)])

    async def DrainRunner(
        self, request: fleet_pb2.DrainRunnerRequest, context: Context
    ) -> fleet_pb2.DrainRunnerResponse:
        """Once."""
        changed = request.name not in self.drained
        self.drained.setdefault(request.name, f"Drained by {current_caller().name}. {request.reason}")
        return fleet_pb2.DrainRunnerResponse(changed=changed, running=2)

    async def ResumeRunner(
        self, request: fleet_pb2.ResumeRunnerRequest, context: Context
    ) -> fleet_pb2.ResumeRunnerResponse:
        """If it was."""
        return fleet_pb2.ResumeRunnerResponse(changed=self.drained.pop(request.name, None) is not None)
