"""What safety needs of the world around it: a store, and the STOP file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from foundation.secret_acts import SecretAct
from services.safety.domain.alert import Group, Level
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.audit import NO_RECORDS, AuditRecord, Checkpoint, Head
from services.safety.domain.book import BreakerChange
from services.safety.domain.breaker import Breaker
from services.safety.domain.budget_book import NO_BUDGETS, BudgetRecords
from services.safety.domain.mode import ModeRecord, StopOrder
from services.safety.domain.roster import Place
from services.safety.domain.spend_records import NO_SPEND, NO_SPEND_CHANGES, SpendChanges, SpendSnapshot
from services.safety.domain.token import TokenRecord

OUTCOMES_KEPT_MAX = 5_000
"""Ends of attempts that are remembered: a coordinator repeats at most its last unanswered call, 1,000 of them."""
TOLD_KEPT_MAX = 1_000
"""Acts told by others that are remembered: one is told again only until its answer has come."""
HISTORY_KEPT_MAX = 10_000
"""Lines of the breakers' history that are kept, over all breakers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that a store holds, but for the history. `taken_in` is oldest first."""

    revision: int
    epoch: int
    revocation: int
    mode: ModeRecord
    breakers: Mapping[str, Breaker]
    roster: Mapping[Place, datetime] = field(default_factory=dict)
    tokens: Mapping[str, TokenRecord]
    taken_in: tuple[AttemptKey, ...]
    audit_head: Head = NO_RECORDS
    told: tuple[str, ...] = ()
    """Ids of the newest `TOLD_KEPT_MAX` acts that other services told, oldest first."""
    spend: SpendSnapshot = NO_SPEND
    budgets: BudgetRecords = NO_BUDGETS
    alerts: Mapping[str, Group] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What one commit writes; what is not named stays.

    `revision` is that of the snapshot or commit on which the changes rest.
    """

    revision: int
    epoch: int
    revocation: int
    mode: ModeRecord | None = None
    breakers: tuple[Breaker, ...] = ()
    roster: Mapping[Place, datetime] = field(default_factory=dict)
    tokens: tuple[TokenRecord, ...] = ()
    taken_in: tuple[AttemptKey, ...] = ()
    history: tuple[BreakerChange, ...] = ()
    audit: tuple[AuditRecord, ...] = ()
    spend: SpendChanges = NO_SPEND_CHANGES
    budgets: BudgetRecords = NO_BUDGETS
    alerts: tuple[Group, ...] = ()
    alerts_forgotten: tuple[str, ...] = ()


class SafetyStore(Protocol):
    """Keeps safety's state. Only `commit` writes, all or nothing."""

    async def load(self) -> Snapshot:
        """The whole state. An empty store holds mode NORMAL, revision 0 and nothing else."""
        ...

    async def commit(self, changes: Changes) -> int:
        """Write the changes durably and return the new revision.

        Raises Stale, code `safety_state_moved`, when another writer has committed since `changes.revision`.
        """
        ...

    async def history(self, per_scope: int) -> Mapping[str, tuple[BreakerChange, ...]]:
        """The newest `per_scope` lines of each breaker's history, newest first."""
        ...

    async def audit_after(self, number: int, limit: int) -> Sequence[AuditRecord]:
        """Up to `limit` records of the audit log with greater numbers, in order, as they are stored."""
        ...

    async def audit_before(self, number: int | None, limit: int, since: datetime | None) -> Sequence[AuditRecord]:
        """Up to `limit` records with smaller numbers (None: from the end) not older than `since`, newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """What one channel is to say. `count` alerts of the same cause are behind it, the first at `first_at`."""

    cause: str
    level: Level
    text: str
    count: int
    first_at: datetime
    at: datetime
    workspace: str


class ChannelRules(Protocol):
    """What holds for a channel: the least level that it carries, and how many messages an hour."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def level(self) -> Level:
        """The least level that it carries."""
        ...

    @property
    def per_hour(self) -> int:
        """How many messages it may carry in an hour."""
        ...


class AlertChannel(Protocol):
    """A way on which alerts reach people."""

    @property
    def config(self) -> ChannelRules:
        """What holds for it."""
        ...

    def say(self, message: AlertMessage) -> None:
        """Bring one message; may block for seconds. Raises QuantumError or OSError when it did not go out."""
        ...


class CheckpointFile(Protocol):
    """Where the audit log's checkpoint is kept, apart from the database. Raises OSError when it cannot be written."""

    def read(self) -> Checkpoint | None:
        """The checkpoint that stands, None without one; raises ValueError for what is none."""
        ...

    def stage(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint beside the one that stands, durably."""
        ...

    def publish(self) -> None:
        """Let the staged one take the place of the one that stands, durably."""
        ...


class Snapshots(Protocol):
    """Copies of the database and of the audit log's checkpoint, one for each backup."""

    async def take(self, backup_id: str) -> None:
        """Copy both, durably. Raises Conflict when there is such a copy, Invalid for what is no id."""
        ...


class SecretNotes(Protocol):
    """What was done to secrets on this machine and is not in the audit log yet. Raises Unavailable."""

    def waiting(self, most: int) -> tuple[Sequence[SecretAct], Sequence[str]]:
        """The oldest notes, at most so many, and the ids of those among them that say nothing."""
        ...

    def forget(self, ids: Iterable[str]) -> None:
        """Take notes away, durably."""
        ...


class CertificateSigner(Protocol):
    """The workspace's authority. Raises QuantumError: NotFound without one, Invalid for a bad request."""

    async def issue(self, role: str, name: str, lifetime: timedelta) -> bytes:
        """A new identity: key, certificate and the authority's certificate, PEM."""
        ...

    async def answer(self, request: bytes, role: str, name: str, lifetime: timedelta) -> bytes:
        """The certificate for the key in a request, and the authority's, PEM."""
        ...


class StopSignal(Protocol):
    """The STOP file as safety sees it."""

    def read(self) -> StopOrder | None:
        """The order that stands, None without one. Cheap enough to ask before every decision."""
        ...

    def clear(self) -> None:
        """Take the order away; nothing happens without one."""
        ...
