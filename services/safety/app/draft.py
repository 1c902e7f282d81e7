"""One change of safety's state in preparation, and what of it is still owed to the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from services.safety.app.trail import acting
from services.safety.domain.admission import Decided
from services.safety.domain.alert import AlertBook
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.audit import Actor, AuditEntry
from services.safety.domain.book import Book
from services.safety.domain.budget_book import BudgetBook, BudgetsOwed
from services.safety.domain.mode import ModeRecord, ModeStatus
from services.safety.domain.roster import Place
from services.safety.domain.spend_ledger import Ledger
from services.safety.domain.token import TokenRecord


@dataclass(slots=True, kw_only=True)
class Draft:
    """One change in preparation. What is set here is adopted once it is durable, or never.

    `must_be_durable` is set by whoever changes something that a crash must not undo; the rest is written with the next
    commit, at the latest a second later.
    """

    now: datetime
    boottime: float
    """Seconds, read together with `now`."""
    book: Book
    budgets: BudgetBook
    ledger: Ledger
    alerts: AlertBook
    mode: ModeStatus
    mode_record: ModeRecord
    tokens: dict[str, TokenRecord] = field(default_factory=dict)
    revocation: int
    decided: Decided = field(default_factory=Decided)
    must_be_durable: bool = False
    entries: list[AuditEntry] = field(default_factory=list)
    refusable: bool = False

    @property
    def needs_a_commit(self) -> bool:
        """Whether anything in it must be durable before anybody is told."""
        parts = (self.book, self.budgets, self.alerts)
        return self.must_be_durable or self.ledger.changed or any(part.must_be_durable for part in parts)

    def audit(
        self,
        *,
        act: str,
        target: str,
        before: str = "",
        after: str = "",
        reason: str = "",
        by: Actor | None = None,
        tightens: bool = False,
    ) -> None:
        """Have a privileged act recorded, in the transaction that makes it durable.

        The actor is the caller of the call that is being answered (or `by`). When the record cannot be written, the
        change is refused with `audit_unwritable`; one that only tightens is made all the same and recorded later.
        """
        self.tell(
            AuditEntry(
                at=self.now,
                actor=by or acting(),
                act=act,
                target=target,
                before=before,
                after=after,
                reason=reason,
            ),
            tightens=tightens,
        )

    def tell(self, entry: AuditEntry, *, tightens: bool = False) -> None:
        """As `audit`, for an entry that is made already."""
        self.entries.append(entry)
        self.refusable = self.refusable or not tightens
        self.must_be_durable = True


@dataclass(slots=True)
class Owed:
    """What memory holds newer than the store. Names only: what is written is what memory holds then."""

    scopes: set[str] = field(default_factory=set)
    places: set[Place] = field(default_factory=set)
    token_ids: set[str] = field(default_factory=set)
    taken_in: list[AttemptKey] = field(default_factory=list)
    mode: bool = False
    entries: list[AuditEntry] = field(default_factory=list)
    budgets: BudgetsOwed = field(default_factory=BudgetsOwed)
    alerts: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        names = self.scopes or self.places or self.token_ids or self.taken_in or self.alerts
        return bool(names or self.mode or self.entries or self.budgets)

    def add(self, other: Owed) -> None:
        self.budgets.add(other.budgets)
        self.alerts |= other.alerts
        self.mode |= other.mode
        self.entries += other.entries
        self.scopes |= other.scopes
        self.places |= other.places
        self.token_ids |= other.token_ids
        self.taken_in[:0] = other.taken_in
