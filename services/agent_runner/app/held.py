"""An attempt as the runner holds it, from the lease to the acknowledged result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from clients.attachment_values import AttemptRef, Lease, Result
from services.agent_runner.app.terms import Known
from services.agent_runner.ports import Output


class Phase(Enum):
    """How far an attempt has come; each is left for the next, never back."""

    WAITING = auto()  # with the warden, not spawned as far as it has told
    RUNNING = auto()  # of a service: from its first process on, also while it has none
    ENDED = auto()  # its result waits for the acknowledgement
    RETURNED = auto()  # never spawned


@dataclass(slots=True, eq=False)
class Held:
    """Mutable, owned by the runner's loop. Times are boottime in seconds."""

    key: str  # how the warden calls it; of a service the beginning of that
    lease: Lease
    known: Known
    renewed_at: float
    taken_at: float
    phase: Phase = Phase.WAITING
    slot: int = -1
    pid: int = 0
    started_at: float = 0.0
    paused: bool = False
    disowned: bool = False  # no result is wanted
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # until its output has been taken in
    output: Output | None = None
    result: Result | None = None
    reported_at: float = 0.0
    _changed: asyncio.Event | None = None

    @property
    def readable(self) -> bool:
        """Whether a process of it writes to a slot just now."""
        return self.phase is Phase.RUNNING and self.slot >= 0

    @property
    def ref(self) -> AttemptRef:
        """The task and the fence."""
        return self.lease.ref

    def notify(self) -> None:
        """There is more output, or no more will come."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def next_change(self) -> asyncio.Event:
        """Set at the next notice; to be taken before looking."""
        if self._changed is None:
            self._changed = asyncio.Event()
        return self._changed


def key_of(ref: AttemptRef) -> str:
    """How the warden calls an attempt."""
    return f"{ref.task_id}:{ref.fence}"
