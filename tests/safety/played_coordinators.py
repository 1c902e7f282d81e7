"""Coordinators as far as admission sees them, and a store that dies in the middle of a call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from services.safety.adapters.memory import MemoryStore
from services.safety.domain.attempt import AttemptKey, Candidate, Outcome
from services.safety.ports import Changes


class Crashed(BaseException):
    """kill -9 in the middle of a call."""


class CrashingStore(MemoryStore):
    """Dies on demand just before or just after a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.crash_at = ""
        self.commits = 0
        self.forgets_breakers = False

    async def commit(self, changes: Changes) -> int:
        """Write, and die where told to."""
        if self.crash_at == "before":
            raise Crashed
        revision = await super().commit(replace(changes, breakers=()) if self.forgets_breakers else changes)
        self.commits += 1
        if self.crash_at == "after":
            raise Crashed
        return revision


@dataclass(slots=True)
class Running:
    """An attempt that runs. `renewed_at` is of the clock that nobody sets."""

    candidate: Candidate
    epoch: int
    moves: int
    renewed_at: float


@dataclass(slots=True)
class Call:
    """A call that was answered, with the answer on its way back."""

    outcomes: list[Outcome]
    candidates: list[Candidate]
    admitted: list[bool]
    epoch: int
    moves: int
    answered_at: float


@dataclass(slots=True)
class Coordinator:
    """What one coordinator has on its disk, and the answer that is on its way to it."""

    name: str
    queue: list[Candidate] = field(default_factory=list)
    running: dict[AttemptKey, Running] = field(default_factory=dict)
    outbox: list[tuple[Outcome, int]] = field(default_factory=list)
    answer: Call | None = None
    away: bool = False
    numbers: int = 0
