"""What the coordinator's use cases need of safety: a decision at each start and renewal, the audit log, alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol


class Candidate(NamedTuple):
    """An attempt that dispatch would like to start; `fence` is the one that it would carry.

    `origin` is the task that it retries, else the one whose child it is. `identified`: it gets a credential in any
    case.
    """

    task_id: str
    fence: int
    agent: str
    project: str
    uses: tuple[str, ...]
    origin: str = ""
    identified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Safety's decision on one candidate. `ask_again_at` None: when safety's epoch has changed."""

    admitted: bool
    scope: str = ""
    code: str = ""
    reason: str = ""
    ask_again_at: datetime | None = None
    credential: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Safety's answer to a batch, in the order of the candidates.

    A task that touches one of `retries_halved` ("fleet", "project:…", "agent:…", what its agent uses) has half as many.
    """

    verdicts: tuple[Verdict, ...]
    mode: str
    epoch: int
    retries_halved: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Whether a running attempt may go on: action is "continue", "pause" or "stop"; the rest as in a Verdict."""

    action: str
    code: str = ""
    reason: str = ""
    until: datetime | None = None


class OutboxEntry(NamedTuple):
    """An attempt's outcome that safety has not acknowledged yet. `sequence` is the store's, and grows.

    A tuple, as tasks are, because each end of an attempt makes one.
    """

    task_id: str
    fence: int
    agent: str
    project: str
    uses: tuple[str, ...]
    failure_class: str  # "" for a success
    counted: bool
    detail: str
    finished_at: datetime
    sequence: int = 0
    epoch: int = 0  # safety's at the admission; 0: not known


class SafetyGate(Protocol):
    """Safety, as dispatch sees it. Raises Unavailable when it cannot be asked: then nothing starts."""

    async def admit(self, outcomes: Sequence[OutboxEntry], candidates: Sequence[Candidate]) -> Admission: ...

    async def renew(self, attempts: Sequence[tuple[str, int]]) -> tuple[Sequence[Renewal], int]:
        """Renewals in the order asked, and safety's epoch."""

    async def breakers(self) -> Mapping[str, tuple[str, str, datetime | None]]:
        """Per scope that is not closed: state, reason, until."""


class Act(NamedTuple):
    """A privileged act that safety's audit log has not answered for yet. `number` is the store's, and grows."""

    at: datetime
    actor: str
    actor_id: str
    source: str
    act: str
    target: str
    before: str
    after: str
    reason: str
    number: int = 0


class AuditLog(Protocol):
    """Safety's audit log, as whoever tells it sees it."""

    async def record(self, acts: Sequence[Act]) -> None:
        """Have acts recorded; told again, none is recorded twice. Raises Unavailable when they are not."""


class PersonalAlert(NamedTuple):
    """Something that a person has to see to; `level` is info, warning or critical, or over. One voice per cause."""

    cause: str
    level: str
    sentence: str
    remedy: str = ""


class AlertBell(Protocol):
    """Safety's alerts, as whoever raises one sees them."""

    async def ring(self, alert: PersonalAlert) -> None:
        """Have people told. Raises Unavailable when they are not."""

    async def resolve(self, cause: str) -> None:
        """The cause is gone; nothing happens when it was never there."""
