"""An attempt as the runner holds it, from the lease to the acknowledged result."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto

from clients.attachment_values import AttemptRef, Lease, Result
from services.agent_runner.ports import Output


class Phase(Enum):
    """How far an attempt has come; each is left for the next, never back."""

    WAITING = auto()  # leased, not yet handed to the warden
    STARTING = auto()  # handed to the warden
    RUNNING = auto()
    ENDED = auto()  # its result waits for the acknowledgement


@dataclass(slots=True, eq=False)
class Held:
    """Mutable, owned by the runner's loop. Times are boottime in seconds."""

    lease: Lease
    renewed_at: float
    phase: Phase = Phase.WAITING
    slot: int = -1
    pid: int = 0
    started_at: float = 0.0
    paused: bool = False
    disowned: bool = False  # no result is wanted
    output: Output | None = None
    result: Result | None = None
    reported_at: float = 0.0
    followers: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ref(self) -> AttemptRef:
        """The task and the fence."""
        return self.lease.ref

    def notify(self) -> None:
        """There is more output, or no more will come."""
        if self.followers:
            self._changed.set()
            self._changed = asyncio.Event()

    def next_change(self) -> asyncio.Event:
        """Set at the next notice; to be taken before looking."""
        return self._changed


def key_of(ref: AttemptRef) -> str:
    """How the warden calls an attempt."""
    return f"{ref.task_id}:{ref.fence}"
