"""What the ledger keeps: balances, who may spend, what was reserved, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from services.safety.domain.attempt import AttemptKey
from services.safety.domain.spend_caps import AccountKey, Cap, CapName, accounts_of
from services.safety.domain.spend_prices import Price, Usage

K = TypeVar("K")
V = TypeVar("V")


class Balance(NamedTuple):
    """What an account holds, in micro-dollars; `used_at` is the last booking."""

    spent: int
    reserved: int
    used_at: datetime


class Block(NamedTuple):
    """A call that was refused: the account that was full, and what the call would have cost."""

    account: AccountKey
    micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendGrant:
    """One attempt's right to spend, from its admission until its end is known.

    `root` is the task with which its family began (itself, the task it retries, or the one whose child it is): the cap
    of an attempt counts for all of them. `token_id` finds it by its credential, of which only the SHA-256 is kept.
    """

    attempt: AttemptKey
    root: str
    agent: str
    providers: tuple[str, ...]
    """None: it may spend nothing, and has its credential to be known by."""
    token_id: str
    digest: str
    granted_at: datetime
    ended_at: datetime | None = None
    block: Block | None = None


class ReservationKey(NamedTuple):
    """A reservation by its attempt and the key that the caller chose."""

    attempt: AttemptKey
    key: str


class Stage(StrEnum):
    """How far a reservation has come."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    CHARGED = "charged"
    """Its attempt ended and nobody settled it: paid in full until somebody says better."""


class Ask(NamedTuple):
    """What a caller wants to call, and how much it may use at most."""

    provider: str
    model: str
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Money promised to one call. `usage` is what `ask` has grown to by extending; `micros` is what that costs."""

    key: ReservationKey
    root: str
    agent: str
    ask: Ask
    usage: Usage
    price: Price
    micros: int
    made_at: datetime
    stage: Stage = Stage.HELD
    actual_micros: int | None = None
    ended_at: datetime | None = None

    @property
    def accounts(self) -> tuple[AccountKey, ...]:
        """Where it is booked, whenever it is settled: on the day and month on which it was made."""
        return accounts_of(self.root, self.agent, self.ask.provider, self.made_at)

    @property
    def overrun(self) -> int:
        """By how much the call was dearer than it was promised to be."""
        return max(0, (self.actual_micros or 0) - self.micros)


class Overlay(Generic[K, V]):
    """A mapping in preparation over the one that holds; `changed` has None for what is taken away."""

    __slots__ = ("_base", "changed")

    def __init__(self, base: Mapping[K, V]) -> None:
        self._base = base
        self.changed: dict[K, V | None] = {}

    def get(self, key: K) -> V | None:
        """The value as it would be."""
        return self.changed[key] if key in self.changed else self._base.get(key)

    def put(self, key: K, value: V | None) -> None:
        """Set it, or take it away with None."""
        self.changed[key] = value


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendSnapshot:
    """The ledger as a store holds it. `secret` makes the attempts' credentials; `latest` is the last moment booked."""

    secret: bytes = b""
    latest: datetime | None = None
    caps: Mapping[CapName, Cap] = field(default_factory=dict)
    balances: Mapping[AccountKey, Balance] = field(default_factory=dict)
    grants: Mapping[AttemptKey, SpendGrant] = field(default_factory=dict)
    reservations: Mapping[ReservationKey, Reservation] = field(default_factory=dict)
    families: Mapping[str, tuple[str, datetime]] = field(default_factory=dict)
    """The root of each task that is not its own, and when it was learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendChanges:
    """What one commit writes of the ledger; None takes away, and what is not named stays."""

    secret: bytes | None = None
    latest: datetime | None = None
    caps: Mapping[CapName, Cap | None] = field(default_factory=dict)
    balances: Mapping[AccountKey, Balance | None] = field(default_factory=dict)
    grants: Mapping[AttemptKey, SpendGrant | None] = field(default_factory=dict)
    reservations: Mapping[ReservationKey, Reservation | None] = field(default_factory=dict)
    families: Mapping[str, tuple[str, datetime] | None] = field(default_factory=dict)


NO_SPEND = SpendSnapshot()
NO_SPEND_CHANGES = SpendChanges()
