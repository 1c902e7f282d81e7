"""Alerts on the wire: decode, delegate, encode."""

from __future__ import annotations

from foundation.auth import current_caller
from protos.safety.v1 import alerts_pb2, alerts_pb2_grpc
from services.safety import convert_alerts as convert
from services.safety.app.alerts import Alerts
from services.safety.servicer import Context


class AlertServicer(alerts_pb2_grpc.AlertServiceServicer):
    """Alerts on the wire."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    async def RaiseAlert(
        self, request: alerts_pb2.RaiseAlertRequest, context: Context
    ) -> alerts_pb2.RaiseAlertResponse:
        """Take in what a service has seen, or that it is over."""
        if request.resolved and request.cause:
            await self._alerts.resolve(request.cause)
        else:
            await self._alerts.raise_(convert.alert_in(request))
        return alerts_pb2.RaiseAlertResponse()

    async def ListAlerts(
        self, request: alerts_pb2.ListAlertsRequest, context: Context
    ) -> alerts_pb2.ListAlertsResponse:
        """List them, and how the channels are."""
        return alerts_pb2.ListAlertsResponse(
            alerts=map(convert.group_out, self._alerts.list()),
            channels=map(convert.delivery_out, self._alerts.channels()),
        )

    async def AcknowledgeAlert(
        self, request: alerts_pb2.AcknowledgeAlertRequest, context: Context
    ) -> alerts_pb2.AcknowledgeAlertResponse:
        """Note who looks after one."""
        group = await self._alerts.acknowledge(request.cause, by=current_caller().name)
        return alerts_pb2.AcknowledgeAlertResponse(alert=convert.group_out(group))

    async def TestAlerts(
        self, request: alerts_pb2.TestAlertsRequest, context: Context
    ) -> alerts_pb2.TestAlertsResponse:
        """Try every channel."""
        deliveries = await self._alerts.test(by=current_caller().name)
        return alerts_pb2.TestAlertsResponse(channels=map(convert.delivery_out, deliveries))
