"""The ledger as it holds now, with what is looked up often at hand; it changes only by adopting what is durable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TypeVar

from services.safety.domain.attempt import AttemptKey
from services.safety.domain.spend_caps import AccountKey, Cap, CapName
from services.safety.domain.spend_records import (
    Balance,
    Reservation,
    ReservationKey,
    SpendChanges,
    SpendGrant,
    SpendSnapshot,
    Stage,
)

K = TypeVar("K")
V = TypeVar("V")


class SpendBook:
    """Mutable, owned by safety's state."""

    def __init__(self, snapshot: SpendSnapshot) -> None:
        self.secret = snapshot.secret
        self.latest = snapshot.latest
        self.caps: dict[CapName, Cap] = dict(snapshot.caps)
        self.balances: dict[AccountKey, Balance] = dict(snapshot.balances)
        self.grants: dict[AttemptKey, SpendGrant] = {}
        self.reservations: dict[ReservationKey, Reservation] = {}
        self.families = dict(snapshot.families)
        self.by_token: dict[str, AttemptKey] = {}
        self.live: dict[str, AttemptKey] = {}
        """The attempt of each task that may spend now."""
        self._fences: dict[str, set[int]] = {}
        """Of every attempt that is known, by its task."""
        self.ended: dict[AttemptKey, None] = {}
        """Grants whose attempts have ended, until nothing of them is open."""
        self.blocked: dict[AttemptKey, None] = {}
        self.held: dict[ReservationKey, None] = {}
        self._pruned_on: date | None = None
        self.over: dict[ReservationKey, None] = {}
        """Settled and released, the oldest first; kept so that a settle that is sent again is known."""
        self._index(snapshot.grants, snapshot.reservations)

    @property
    def live_attempts(self) -> set[AttemptKey]:
        """Every attempt that may spend now."""
        return set(self.live.values())

    def newest_fence(self, task: str) -> int:
        """The highest fence of a task that had a right to spend and is not forgotten; 0: none."""
        return max(self._fences.get(task, ()), default=0)

    def prune_due(self, now: datetime) -> bool:
        """Whether to look through everything for what is old: at the first look of a day."""
        is_due, self._pruned_on = self._pruned_on != now.date(), now.date()
        return is_due

    def snapshot(self) -> SpendSnapshot:
        """A copy, as a store hands it out."""
        return SpendSnapshot(
            secret=self.secret,
            latest=self.latest,
            caps=dict(self.caps),
            balances=dict(self.balances),
            grants=dict(self.grants),
            reservations=dict(self.reservations),
            families=dict(self.families),
        )

    def adopt(self, changes: SpendChanges) -> None:
        """Make durable changes the state."""
        self.secret = self.secret if changes.secret is None else changes.secret
        self.latest = self.latest if changes.latest is None else changes.latest
        _apply(self.caps, changes.caps)
        _apply(self.balances, changes.balances)
        _apply(self.families, changes.families)
        self._index(changes.grants, changes.reservations)

    def _index(
        self,
        grants: Mapping[AttemptKey, SpendGrant | None] | Mapping[AttemptKey, SpendGrant],
        reservations: Mapping[ReservationKey, Reservation | None] | Mapping[ReservationKey, Reservation],
    ) -> None:
        for attempt, grant in grants.items():
            self._index_grant(attempt, grant)
        for key, reservation in reservations.items():
            for index, stages in ((self.held, (Stage.HELD,)), (self.over, (Stage.SETTLED, Stage.RELEASED))):
                if reservation is not None and reservation.stage in stages:
                    index[key] = None
                else:
                    index.pop(key, None)
            if reservation is None:
                self.reservations.pop(key, None)
            else:
                self.reservations[key] = reservation

    def _index_grant(self, attempt: AttemptKey, grant: SpendGrant | None) -> None:
        if before := self.grants.pop(attempt, None):
            self.by_token.pop(before.token_id, None)
        for index in (self.ended, self.blocked):
            index.pop(attempt, None)
        if self.live.get(attempt.task) == attempt:
            del self.live[attempt.task]
        if grant is None:
            self._forget_fence(attempt)
            return
        self._fences.setdefault(attempt.task, set()).add(attempt.fence)
        self.grants[attempt] = grant
        self.by_token[grant.token_id] = attempt
        if grant.ended_at is not None:
            self.ended[attempt] = None
            return
        self.live[attempt.task] = attempt
        if grant.block is not None:
            self.blocked[attempt] = None

    def _forget_fence(self, attempt: AttemptKey) -> None:
        fences = self._fences.get(attempt.task, set())
        fences.discard(attempt.fence)
        if not fences:
            self._fences.pop(attempt.task, None)


def _apply(kept: dict[K, V], changed: Mapping[K, V | None]) -> None:
    for key, value in changed.items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value
