"""One alert about a breaker that is open, and two channels, of which one does not answer."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from foundation.auth import current_caller
from foundation.errors import NotFound
from protos.safety.v1 import alerts_pb2, alerts_pb2_grpc
from tests.gateway.stand_in_coordinator import Context, World

CAUSE = "breaker:agent:build"
SINCE = 1_767_225_600


class Alerts(alerts_pb2_grpc.AlertServiceServicer):
    """Knows one cause."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def RaiseAlert(
        self, request: alerts_pb2.RaiseAlertRequest, context: Context
    ) -> alerts_pb2.RaiseAlertResponse:
        """No gateway raises any."""
        return alerts_pb2.RaiseAlertResponse()

    async def ListAlerts(
        self, request: alerts_pb2.ListAlertsRequest, context: Context
    ) -> alerts_pb2.ListAlertsResponse:
        """It, and the channels."""
        channels = [
            alerts_pb2.AlertChannel(name="log"),
            alerts_pb2.AlertChannel(name="mail", fault="It does not answer."),
        ]
        return alerts_pb2.ListAlertsResponse(alerts=[_open()], channels=channels)

    async def AcknowledgeAlert(
        self, request: alerts_pb2.AcknowledgeAlertRequest, context: Context
    ) -> alerts_pb2.AcknowledgeAlertResponse:
        """Somebody looks after it."""
        if request.cause != CAUSE:
            raise NotFound("no_alert", f"There is no alert about {request.cause}.")
        alert = _open()
        alert.acknowledged_by = current_caller().name
        return alerts_pb2.AcknowledgeAlertResponse(alert=alert)

    async def TestAlerts(
        self, request: alerts_pb2.TestAlertsRequest, context: Context
    ) -> alerts_pb2.TestAlertsResponse:
        """Only the command line tests channels."""
        return alerts_pb2.TestAlertsResponse()


def _open() -> alerts_pb2.Alert:
    return alerts_pb2.Alert(
        cause=CAUSE,
        level=alerts_pb2.ALERT_LEVEL_WARNING,
        sentence="The breaker of build is open.",
        remedy="quantum breaker list",
        first_at=Timestamp(seconds=SINCE),
        last_at=Timestamp(seconds=SINCE + 60),
        count=2,
    )
