"""What safety is told and what it answers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class OutcomeKind(StrEnum):
    """What the end of an attempt says to a breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    """Its own fault: class script, timeout, resource or configuration."""
    NEUTRAL = "neutral"
    """Infrastructure, policy, cancel, or never started: gives a permit back, counts nowhere."""


class Outcome(NamedTuple):
    """How one attempt ended. `epoch` is the Admission's that admitted it; 0: not known.

    A tuple, as a candidate is, because there is one of each for every attempt.
    """

    task_id: str
    fence: int
    agent: str
    kind: OutcomeKind
    project: str = ""
    uses: tuple[str, ...] = ()
    failure_class: str = ""
    detail: str = ""
    finished_at: datetime | None = None
    epoch: int = 0


class Candidate(NamedTuple):
    """An attempt that wants to start; `fence` is the one that it will carry.

    `origin` is the task that it retries, else the one whose child it is: it spends under the same cap. `identified`: it
    gets a credential also where it may spend nothing.
    """

    task_id: str
    fence: int
    agent: str
    project: str = ""
    uses: tuple[str, ...] = ()
    origin: str = ""
    identified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision on one candidate. `ask_again_at` None: when the epoch has changed.

    `credential` is that of an admitted attempt that may spend, good until it ends; empty for any other.
    """

    admitted: bool
    scope: str = ""
    code: str = ""
    reason: str = ""
    ask_again_at: datetime | None = None
    credential: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The verdicts in the order of the candidates, the mode (`NORMAL`…) and the epoch after them.

    `retries_halved`: scopes whose error budget is acted on; a task that touches one gets half its retries.
    """

    verdicts: tuple[Verdict, ...]
    mode: str
    epoch: int
    retries_halved: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Whether a running attempt may go on; `action` is `continue`, `pause` or `stop`, `until` as far as it is known."""

    action: str
    code: str = ""
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewals:
    """The answers in the order of the attempts, the mode and the epoch."""

    renewals: tuple[Renewal, ...]
    mode: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChangeView:
    """One line of a breaker's history; `actor` is empty when it moved by itself."""

    at: datetime
    before: str
    after: str
    reason: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerView:
    """One breaker; `state` is `closed`, `open`, `half_open`, `forced_open` or `forced_closed`.

    `until` is the next probe (open) or the end of the force (forced closed). `history` is newest first, at most 20.
    """

    scope: str
    state: str
    consecutive_failures: int
    window_attempts: int
    window_failures: int
    until: datetime | None
    epoch: int
    reason: str
    probe_task_id: str
    history: tuple[BreakerChangeView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeStatus:
    """The mode that holds; `mode` is the upper-case word, `stop_file` whether the STOP file is there."""

    mode: str
    reason: str
    actor: str
    since: datetime | None
    stop_file: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChange:
    """The mode that holds after a verb, and whether the verb changed it."""

    status: ModeStatus
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """What may be known of a token: never its text, never its digest."""

    id: str
    name: str
    scopes: frozenset[str]
    created_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    runner: str = ""
    """The one runner that may use it, or join with it; empty: it is not bound."""
    used_at: datetime | None = None
    """When an invitation was used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A new token and its text, which nobody can read again."""

    token: TokenView
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A good token, and safety's revocation number at that moment."""

    token: TokenView
    revocation: int
