"""Alerts as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """Everything that was raised for one cause. `level` is info, warning or critical."""

    cause: str
    level: str
    sentence: str
    remedy: str
    first_at: datetime | None
    last_at: datetime | None
    count: int
    told_at: datetime | None
    escalated: bool
    acknowledged_by: str
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelView:
    """A way on which alerts leave; `fault` says why the last message did not, empty when it did."""

    name: str
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertList:
    """Open ones first, the newest first among each."""

    alerts: tuple[AlertView, ...]
    channels: tuple[ChannelView, ...]
