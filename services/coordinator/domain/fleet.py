"""What dispatch knows at a moment, as values: the one source of `why`, of the queue's figures and of agent states."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.coordinator.domain.placement import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerView:
    """A runner that is attached, or one that is drained and away."""

    name: str
    host: str
    slots: int
    leased: int
    running: int
    draining: bool
    attached_at: datetime | None
    last_heartbeat_at: datetime | None
    labels: Mapping[str, str] = field(default_factory=dict)
    services: int = 0
    services_max: int = 0
    paused: int = 0
    memory_bytes: int = 0
    memory_available_bytes: int = -1
    memory_expected_bytes: int = 0
    cpu_share: float = -1.0
    held_reason: str = ""
    drained: str = ""
    """Who drained it, when and why; "": nobody did."""


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
    rooms: tuple[Room, ...] = ()
    """What each attached runner can still take, as dispatch sees it."""
    parked: Mapping[str, Parked] = field(default_factory=dict)
    held_projects: Mapping[str, Parked] = field(default_factory=dict)
    stopped: Parked | None = None
    safety_fault: str = ""
    queue_paused: str = ""
    pauses: Mapping[str, Parked] = field(default_factory=dict)
    unspawned: Mapping[str, str] = field(default_factory=dict)
    """Why its runner has not begun what it was given, as the rest of a sentence, by task; "": it is about to."""
    running: Mapping[str, int] = field(default_factory=dict)
    held_tasks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    waits_seconds: tuple[float, ...] = ()
    ended_last_five_minutes: int = 0
