"""A safety service with a mode and breakers, behind the server that every service has."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import Denied, Invalid, NotFound
from foundation.rpc.server import RpcServer
from protos.safety.v1 import (
    alerts_pb2,
    alerts_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    breakers_pb2,
    breakers_pb2_grpc,
    budgets_pb2,
    budgets_pb2_grpc,
    mode_pb2,
    mode_pb2_grpc,
    spend_pb2,
    spend_pb2_grpc,
)
from tests.gateway.stand_in_alerts import Alerts
from tests.gateway.stand_in_audit import Audit
from tests.gateway.stand_in_budgets import Budgets
from tests.gateway.stand_in_coordinator import Context, World, server_of
from tests.gateway.stand_in_spend import Spend


class Modes(mode_pb2_grpc.ModeServiceServicer):
    """The mode."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _status(self, reason: str = "") -> mode_pb2.ModeStatus:
        return mode_pb2.ModeStatus(
            mode=self.world.mode, reason=reason, stop_file=self.world.mode == mode_pb2.MODE_STOPPED
        )

    async def GetMode(self, request: mode_pb2.GetModeRequest, context: Context) -> mode_pb2.GetModeResponse:
        """The mode that holds."""
        return mode_pb2.GetModeResponse(status=self._status())

    async def TightenMode(self, request: mode_pb2.TightenModeRequest, context: Context) -> mode_pb2.TightenModeResponse:
        """Stop."""
        changed, self.world.mode = self.world.mode != request.mode, request.mode
        return mode_pb2.TightenModeResponse(status=self._status(request.reason), changed=changed)

    async def ResumeMode(self, request: mode_pb2.ResumeModeRequest, context: Context) -> mode_pb2.ResumeModeResponse:
        """Go on."""
        to = request.mode or mode_pb2.MODE_NORMAL
        changed, self.world.mode = self.world.mode != to, to
        return mode_pb2.ResumeModeResponse(status=self._status(request.reason), changed=changed)


class Breakers(breakers_pb2_grpc.BreakerServiceServicer):
    """Breakers that open when told to."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def ListBreakers(
        self, request: breakers_pb2.ListBreakersRequest, context: Context
    ) -> breakers_pb2.ListBreakersResponse:
        """All of them."""
        return breakers_pb2.ListBreakersResponse(breakers=list(self.world.breakers.values()))

    async def ForceOpenBreaker(
        self, request: breakers_pb2.ForceOpenBreakerRequest, context: Context
    ) -> breakers_pb2.ForceOpenBreakerResponse:
        """Open."""
        if request.scope == "agent:denied":
            raise Denied("not_yours", "You may not hold that one.")
        state = breakers_pb2.BREAKER_STATE_FORCED_OPEN
        self.world.breakers[request.scope] = breakers_pb2.Breaker(scope=request.scope, state=state)
        return breakers_pb2.ForceOpenBreakerResponse(breaker=self.world.breakers[request.scope])

    async def ForceCloseBreaker(
        self, request: breakers_pb2.ForceCloseBreakerRequest, context: Context
    ) -> breakers_pb2.ForceCloseBreakerResponse:
        """Closed, for whatever time."""
        if request.for_duration.ToSeconds() > 7 * 86_400:
            raise Invalid("bad_force_time", "At most 7 days.")
        state = breakers_pb2.BREAKER_STATE_FORCED_CLOSED
        self.world.breakers[request.scope] = breakers_pb2.Breaker(scope=request.scope, state=state)
        return breakers_pb2.ForceCloseBreakerResponse(breaker=self.world.breakers[request.scope])

    async def ResetBreaker(
        self, request: breakers_pb2.ResetBreakerRequest, context: Context
    ) -> breakers_pb2.ResetBreakerResponse:
        """Closed."""
        if request.scope not in self.world.breakers:
            raise NotFound("no_such_breaker", f"Nothing was counted for “{request.scope}” yet.")
        self.world.breakers[request.scope].state = breakers_pb2.BREAKER_STATE_CLOSED
        return breakers_pb2.ResetBreakerResponse(breaker=self.world.breakers[request.scope])


async def start_safety(world: World, socket: Path) -> RpcServer:
    """The safety service, serving."""
    files = [file.DESCRIPTOR for file in (mode_pb2, alerts_pb2, audit_pb2, breakers_pb2, budgets_pb2, spend_pb2)]
    server = server_of("safety", world, files)
    server.add(mode_pb2_grpc.add_ModeServiceServicer_to_server, Modes(world), "quantum.safety.v1.ModeService")
    breakers = Breakers(world)
    server.add(breakers_pb2_grpc.add_BreakerServiceServicer_to_server, breakers, "quantum.safety.v1.BreakerService")
    server.add(alerts_pb2_grpc.add_AlertServiceServicer_to_server, Alerts(world), "quantum.safety.v1.AlertService")
    server.add(audit_pb2_grpc.add_AuditServiceServicer_to_server, Audit(world), "quantum.safety.v1.AuditService")
    server.add(budgets_pb2_grpc.add_BudgetServiceServicer_to_server, Budgets(world), "quantum.safety.v1.BudgetService")
    server.add(spend_pb2_grpc.add_SpendServiceServicer_to_server, Spend(world), "quantum.safety.v1.SpendService")
    await server.start(socket)
    await server.set_serving(True)
    return server
