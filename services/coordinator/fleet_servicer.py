"""The door at which people see and hold the runners: decode, delegate, encode."""

from typing import Any

import grpc.aio

from foundation.auth import current_caller, require_asked
from foundation.tokens import mask
from protos.coordinator.v1 import fleet_pb2 as pb
from protos.coordinator.v1 import fleet_pb2_grpc
from services.coordinator.app.dispatching import Dispatching
from services.coordinator.app.drains import Drains
from services.coordinator.convert_fleet import runner_to

Context = grpc.aio.ServicerContext[Any, Any]


class FleetServicer(fleet_pb2_grpc.FleetServiceServicer):
    """The runners."""

    def __init__(self, dispatch: Dispatching, drains: Drains) -> None:
        self._dispatch = dispatch
        self._drains = drains

    async def ListRunners(self, request: pb.ListRunnersRequest, context: Context) -> pb.ListRunnersResponse:
        return pb.ListRunnersResponse(runners=[runner_to(runner) for runner in self._dispatch.fleet().runners])

    async def DrainRunner(self, request: pb.DrainRunnerRequest, context: Context) -> pb.DrainRunnerResponse:
        changed, running = await self._drains.drain(request.name, mask(request.reason), current_caller())
        return pb.DrainRunnerResponse(changed=changed, running=running)

    async def ResumeRunner(self, request: pb.ResumeRunnerRequest, context: Context) -> pb.ResumeRunnerResponse:
        require_asked(current_caller())
        return pb.ResumeRunnerResponse(changed=await self._drains.resume(request.name))
