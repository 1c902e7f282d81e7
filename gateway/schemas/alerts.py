"""Alerts, as they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from gateway.schemas.base import Output, Query


class CausePath(Query):
    """Which alert."""

    cause: Annotated[str, Field(min_length=1, max_length=200, description="Like breaker:agent:build.")]


class Alert(Output):
    """Everything that was raised for one cause."""

    cause: str
    level: str = Field(description="info, warning or critical.")
    sentence: str
    remedy: str | None
    first_at: datetime | None
    last_at: datetime | None
    count: int
    told_at: datetime | None = Field(description="null: nobody was told yet.")
    escalated: bool = Field(description="It became critical because nobody acknowledged it.")
    acknowledged_by: str | None
    resolved_at: datetime | None = Field(description="null: its cause still holds.")


class AlertChannel(Output):
    """A way on which alerts leave."""

    name: str
    fault: str | None = Field(description="Why its last message did not go out.")


class Alerts(Output):
    """Open ones first, the newest first among each."""

    alerts: list[Alert]
    channels: list[AlertChannel]


class OneAlert(Output):
    """One alert."""

    alert: Alert
