"""What dispatch knows at a moment, as values: the one source of `why`, of the queue's figures and of agent states."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerView:
    """A runner that is attached."""

    name: str
    host: str
    slots: int
    leased: int
    running: int
    draining: bool
    attached_at: datetime
    last_heartbeat_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A scope that was refused: nothing of it is asked for again before `until` (None: before safety changes)."""

    scope: str
    code: str
    reason: str
    until: datetime | None


def project_scope(project: str) -> str:
    """How safety, and so everything that is parked, calls a project."""
    return f"project:{project}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """Runners, parked agents (by name), held projects (by scope) and gates.

    `stopped` is the reason why nothing starts at all; `pauses` says, by task, why safety has running attempts frozen.
    """

    runners: tuple[RunnerView, ...] = ()
    parked: Mapping[str, Parked] = field(default_factory=dict)
    held_projects: Mapping[str, Parked] = field(default_factory=dict)
    stopped: Parked | None = None
    safety_fault: str = ""
    queue_paused: str = ""
    pauses: Mapping[str, Parked] = field(default_factory=dict)
    running: Mapping[str, int] = field(default_factory=dict)
    held_tasks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    waits_seconds: tuple[float, ...] = ()
    ended_last_five_minutes: int = 0
