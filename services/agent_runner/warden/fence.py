"""When a lease that is no longer renewed makes the warden act by itself: freeze, end, kill."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

FREEZE_AT = 0.75
END_AT = 1.0
KILL_AT = 1.5


class Stage(IntEnum):
    """How far an unrenewed lease has run down; later stages include the earlier ones."""

    HELD = 0
    FREEZE = 1
    END = 2
    KILL = 3


class FenceView(NamedTuple):
    """The stage now, and the boottime at which the next one comes (infinite after the last)."""

    stage: Stage
    next_at: float


def fence(renewed_at: float, lease: float, now: float) -> FenceView:
    """Where a lease stands that was last renewed by a heartbeat sent at `renewed_at`; all in seconds of
    boottime.

    Frozen at 0.75 × lease, SIGTERM at 1 ×, SIGKILL at 1.5 ×: the coordinator starts the next attempt at 1.75
    ×.
    """
    age = now - renewed_at
    if age < FREEZE_AT * lease:
        return FenceView(Stage.HELD, renewed_at + FREEZE_AT * lease)
    if age < END_AT * lease:
        return FenceView(Stage.FREEZE, renewed_at + END_AT * lease)
    if age < KILL_AT * lease:
        return FenceView(Stage.END, renewed_at + KILL_AT * lease)
    return FenceView(Stage.KILL, float("inf"))
