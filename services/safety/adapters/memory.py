"""A store in memory, for tests of what stands above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice

from foundation.errors import Stale
from services.safety.domain.alert import Group
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.audit import AuditRecord, Checkpoint, Head
from services.safety.domain.book import BreakerChange
from services.safety.domain.breaker import Breaker
from services.safety.domain.budget_book import NO_BUDGETS
from services.safety.domain.mode import Mode, ModeRecord
from services.safety.domain.roster import Place, forgotten
from services.safety.domain.spend_book import SpendBook
from services.safety.domain.spend_records import NO_SPEND
from services.safety.domain.token import TokenRecord
from services.safety.ports import HISTORY_KEPT_MAX, OUTCOMES_KEPT_MAX, TOLD_KEPT_MAX, Changes, Snapshot


class MemoryStore:
    """Keeps what a database would, as long as it lives."""

    def __init__(self) -> None:
        self._revision = 0
        self._epoch = 0
        self._revocation = 0
        self._mode = ModeRecord(mode=Mode.NORMAL, since=None)
        self._breakers: dict[str, Breaker] = {}
        self._roster: dict[Place, datetime] = {}
        self._tokens: dict[str, TokenRecord] = {}
        self._taken_in: dict[AttemptKey, None] = {}
        self._history: list[BreakerChange] = []
        self._audit: list[AuditRecord] = []
        self._spend = SpendBook(NO_SPEND)
        self._budgets = NO_BUDGETS
        self._alerts: dict[str, Group] = {}

    async def load(self) -> Snapshot:
        """The whole state."""
        return Snapshot(
            revision=self._revision,
            epoch=self._epoch,
            revocation=self._revocation,
            mode=self._mode,
            breakers=dict(self._breakers),
            roster=dict(self._roster),
            tokens=dict(self._tokens),
            taken_in=tuple(self._taken_in),
            audit_head=self._audit[-1].head if self._audit else Head(),
            told=tuple([record.entry.told for record in self._audit if record.entry.told][-TOLD_KEPT_MAX:]),
            spend=self._spend.snapshot(),
            budgets=self._budgets,
            alerts=dict(self._alerts),
        )

    async def commit(self, changes: Changes) -> int:
        """Write the changes and return the new revision; raises Stale when another writer was first."""
        if changes.revision != self._revision:
            raise state_moved(changes.revision, self._revision)
        self._revision += 1
        self._epoch = changes.epoch
        self._revocation = changes.revocation
        self._mode = changes.mode or self._mode
        self._breakers |= {breaker.scope: breaker for breaker in changes.breakers}
        self._roster |= changes.roster
        for place in forgotten(self._roster, max(changes.roster.values())) if changes.roster else ():
            del self._roster[place]
        self._tokens |= {token.id: token for token in changes.tokens}
        self._taken_in |= dict.fromkeys(changes.taken_in)
        for attempt in list(islice(self._taken_in, max(0, len(self._taken_in) - OUTCOMES_KEPT_MAX))):
            del self._taken_in[attempt]
        self._history += changes.history
        del self._history[:-HISTORY_KEPT_MAX]
        self._audit += changes.audit
        self._spend.adopt(changes.spend)
        self._budgets = self._budgets.with_(changes.budgets)
        self._alerts |= {group.cause: group for group in changes.alerts}
        for cause in changes.alerts_forgotten:
            self._alerts.pop(cause, None)
        return self._revision

    async def history(self, per_scope: int) -> Mapping[str, tuple[BreakerChange, ...]]:
        """The newest lines of each breaker's history, newest first."""
        found: dict[str, tuple[BreakerChange, ...]] = {}
        for change in reversed(self._history):
            lines = found.get(change.scope, ())
            if len(lines) < per_scope:
                found[change.scope] = (*lines, change)
        return found

    async def audit_after(self, number: int, limit: int) -> Sequence[AuditRecord]:
        """Up to `limit` records with greater numbers, in order."""
        return [record for record in self._audit if record.number > number][:limit]

    async def audit_before(self, number: int | None, limit: int, since: datetime | None) -> Sequence[AuditRecord]:
        """Up to `limit` records with smaller numbers, not older than `since`, newest first."""
        found = [
            record
            for record in reversed(self._audit)
            if (number is None or record.number < number) and (since is None or record.entry.at >= since)
        ]
        return found[:limit]


class MemoryCheckpoint:
    """A checkpoint without a file; `failing` makes every write fail."""

    def __init__(self, checkpoint: Checkpoint | None = None) -> None:
        self.standing = checkpoint
        self.failing = False
        self._staged: Checkpoint | None = None

    def read(self) -> Checkpoint | None:
        """The checkpoint that stands."""
        return self.standing

    def stage(self, checkpoint: Checkpoint) -> None:
        """Keep one beside the one that stands; raises OSError when told to."""
        if self.failing:
            raise OSError("the folder is not writable")
        self._staged = checkpoint

    def publish(self) -> None:
        """Let the staged one take its place; raises OSError when told to."""
        if self.failing:
            raise OSError("the folder is not writable")
        self.standing = self._staged


def state_moved(expected: int, actual: int) -> Stale:
    """The refusal of a commit that rests on a state that is not the newest any more."""
    return Stale("safety_state_moved", f"Safety's state is at revision {actual}, the change rests on {expected}.")
