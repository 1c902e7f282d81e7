"""Alerts: what needs a person, and who looks after it."""

from __future__ import annotations

from flask import Response

from clients.safety_alerts_values import AlertView
from gateway.answering import area, reply
from gateway.schemas import alerts as shapes
from gateway.schemas.documented import answers as documented
from gateway.state import caller

routes = area("alerts")


@routes.get("/alerts", responses=documented({200: shapes.Alerts}))
def list_alerts() -> Response:
    """What people were told, one voice per cause."""
    found = caller().safety(lambda safety, left: safety.alerts.list(deadline=left))
    channels = [shapes.AlertChannel(name=channel.name, fault=channel.fault or None) for channel in found.channels]
    return reply(shapes.Alerts(alerts=[_shown(alert) for alert in found.alerts], channels=channels))


@routes.post("/alerts/<cause>/acknowledge", responses=documented({200: shapes.OneAlert}, 404, 415))
def acknowledge(path: shapes.CausePath) -> Response:
    """Notes that the caller looks after a cause: it is not escalated any more."""
    alert = caller().safety(lambda safety, left: safety.alerts.acknowledge(path.cause, deadline=left))
    return reply(shapes.OneAlert(alert=_shown(alert)))


def _shown(alert: AlertView) -> shapes.Alert:
    return shapes.Alert(
        cause=alert.cause,
        level=alert.level,
        sentence=alert.sentence,
        remedy=alert.remedy or None,
        first_at=alert.first_at,
        last_at=alert.last_at,
        count=alert.count,
        told_at=alert.told_at,
        escalated=alert.escalated,
        acknowledged_by=alert.acknowledged_by or None,
        resolved_at=alert.resolved_at,
    )
