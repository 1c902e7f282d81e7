"""Messages of the alerts' contract to and from safety's own values."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from foundation.errors import FieldFault, Invalid
from protos.safety.v1 import alerts_pb2 as pb
from services.safety.app.alerts import Delivery
from services.safety.domain.alert import Alert, Group, Level

TEXT_MAX = 2_000
_LEVELS = {
    Level.INFO: pb.ALERT_LEVEL_INFO,
    Level.WARNING: pb.ALERT_LEVEL_WARNING,
    Level.CRITICAL: pb.ALERT_LEVEL_CRITICAL,
}
_LEVEL_OF = {wire: level for level, wire in _LEVELS.items()}


def alert_in(request: pb.RaiseAlertRequest) -> Alert:
    """The alert that a service raises. Raises Invalid for one without a cause, a sentence or a level."""
    faults = [FieldFault(name, "is missing") for name in ("cause", "sentence") if not getattr(request, name)]
    if request.level not in _LEVEL_OF:
        faults.append(FieldFault("level", "is missing"))
    if faults:
        raise Invalid("bad_alert", "That is no alert.", fields=tuple(faults))
    return Alert(
        cause=request.cause[:200],
        level=_LEVEL_OF[request.level],
        sentence=request.sentence[:TEXT_MAX],
        remedy=request.remedy[:TEXT_MAX],
    )


def group_out(group: Group) -> pb.Alert:
    """One group."""
    return pb.Alert(
        cause=group.cause,
        level=_LEVELS[group.level],
        sentence=group.sentence,
        remedy=group.remedy,
        first_at=_timestamp(group.first_at),
        last_at=_timestamp(group.last_at),
        count=group.count,
        told_at=_timestamp(group.told_at),
        escalated=group.escalated,
        acknowledged_by=group.acknowledged_by,
        resolved_at=_timestamp(group.resolved_at),
    )


def delivery_out(delivery: Delivery) -> pb.AlertChannel:
    """How it went on one channel."""
    return pb.AlertChannel(name=delivery.channel, fault=delivery.fault)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
