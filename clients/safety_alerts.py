"""The alerts' client, over a channel to safety."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import grpc.aio

from clients.calling import DEADLINE, ask
from clients.safety_alerts_values import AlertList, AlertView, ChannelView
from clients.wire_values import moment_in
from protos.safety.v1 import alerts_pb2, alerts_pb2_grpc

_PREFIX = "ALERT_LEVEL_"


class AlertClient:
    """Every method raises QuantumError alone, as SafetyClient's do."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel belongs to whoever opened it."""
        self._alerts = alerts_pb2_grpc.AlertServiceStub(channel)

    async def raise_(
        self, cause: str, *, level: str, sentence: str, remedy: str = "", deadline: timedelta = DEADLINE
    ) -> None:
        """Has people told of something that only the caller can see; `level` is info, warning or critical."""
        request = alerts_pb2.RaiseAlertRequest(
            cause=cause,
            level=f"{_PREFIX}{level.upper()}",
            sentence=sentence,
            remedy=remedy,
        )
        await ask(self._alerts.RaiseAlert, request, deadline)

    async def resolve(self, cause: str, *, deadline: timedelta = DEADLINE) -> None:
        """Says that a cause is gone; nothing happens when it was never there."""
        await ask(self._alerts.RaiseAlert, alerts_pb2.RaiseAlertRequest(cause=cause, resolved=True), deadline)

    async def list(self, *, deadline: timedelta = DEADLINE) -> AlertList:
        """Every alert that is remembered, and how each channel is."""
        answer = await ask(self._alerts.ListAlerts, alerts_pb2.ListAlertsRequest(), deadline)
        return AlertList(alerts=tuple(map(_alert_from, answer.alerts)), channels=_channels_from(answer.channels))

    async def acknowledge(self, cause: str, *, deadline: timedelta = DEADLINE) -> AlertView:
        """Notes that the caller looks after a cause. Raises NotFound."""
        request = alerts_pb2.AcknowledgeAlertRequest(cause=cause)
        return _alert_from((await ask(self._alerts.AcknowledgeAlert, request, deadline)).alert)

    async def test(self, *, deadline: timedelta = timedelta(seconds=40)) -> tuple[ChannelView, ...]:
        """Sends a test message through every channel and says how it went on each."""
        return _channels_from((await ask(self._alerts.TestAlerts, alerts_pb2.TestAlertsRequest(), deadline)).channels)


def _alert_from(message: alerts_pb2.Alert) -> AlertView:
    return AlertView(
        cause=message.cause,
        level=alerts_pb2.AlertLevel.Name(message.level).removeprefix(_PREFIX).lower(),
        sentence=message.sentence,
        remedy=message.remedy,
        first_at=moment_in(message, "first_at"),
        last_at=moment_in(message, "last_at"),
        count=message.count,
        told_at=moment_in(message, "told_at"),
        escalated=message.escalated,
        acknowledged_by=message.acknowledged_by,
        resolved_at=moment_in(message, "resolved_at"),
    )


def _channels_from(messages: Iterable[alerts_pb2.AlertChannel]) -> tuple[ChannelView, ...]:
    return tuple(ChannelView(name=one.name, fault=one.fault) for one in messages)
