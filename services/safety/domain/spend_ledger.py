"""The spend ledger: no call without a reservation, and nothing reserved beyond a cap; one draft, all accounts.

`remaining = cap − spent − reserved`, for every account that a call is booked on, before anything is booked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from foundation.errors import Conflict, Denied, NotFound
from services.safety.domain.attempt import AttemptKey
from services.safety.domain.spend_book import SpendBook
from services.safety.domain.spend_caps import AccountKey, Cap, CapName, Caps, is_past, opens_at
from services.safety.domain.spend_credential import credential_of
from services.safety.domain.spend_prices import Price, Usage
from services.safety.domain.spend_records import (
    NO_SPEND_CHANGES,
    Ask,
    Balance,
    Block,
    Overlay,
    Reservation,
    ReservationKey,
    SpendChanges,
    SpendGrant,
    Stage,
)
from services.safety.domain.spend_tidy import Forgotten

AHEAD_MAX = timedelta(hours=24)
"""A booking that lies further ahead was made by a clock that was wrong: no day lasts that long."""


class CapReached(NamedTuple):
    """A call that does not fit: the account that is full, its cap and what is left, and when it opens by itself."""

    account: AccountKey
    cap: Cap
    balance: Balance
    asked_micros: int
    opens_at: datetime | None


class Ledger:
    """The ledger as it would be after one change; nothing counts until it is durable and adopted."""

    __slots__ = (
        "_balances",
        "_book",
        "_caps",
        "_families",
        "_granted",
        "_grants",
        "_latest",
        "_minted",
        "_reservations",
        "_secret",
    )

    def __init__(self, book: SpendBook) -> None:
        self._book = book
        self._secret: bytes | None = None
        self._minted: dict[AttemptKey, str] = {}
        self._granted: dict[str, int] = {}
        self._latest: datetime | None = None
        self._caps: Overlay[CapName, Cap] = Overlay(book.caps)
        self._balances: Overlay[AccountKey, Balance] = Overlay(book.balances)
        self._grants: Overlay[AttemptKey, SpendGrant] = Overlay(book.grants)
        self._reservations: Overlay[ReservationKey, Reservation] = Overlay(book.reservations)
        self._families: Overlay[str, tuple[str, datetime]] = Overlay(book.families)

    # -- what has to be written

    @property
    def changed(self) -> bool:
        """Whether anything was changed; all of it must be durable before anybody is told."""
        tables = (self._caps, self._balances, self._grants, self._reservations, self._families)
        return self._secret is not None or any(table.changed for table in tables)

    def changes(self) -> SpendChanges:
        """For the store, and for the book once they are durable."""
        if not self.changed:
            return NO_SPEND_CHANGES
        return SpendChanges(
            secret=self._secret,
            latest=self._latest,
            caps=self._caps.changed,
            balances=self._balances.changed,
            grants=self._grants.changed,
            reservations=self._reservations.changed,
            families=self._families.changed,
        )

    # -- who may spend

    def grant(
        self,
        attempt: AttemptKey,
        *,
        agent: str,
        providers: tuple[str, ...],
        origin: str,
        now: datetime,
        new_secret: Callable[[], bytes],
    ) -> None:
        """Let an admitted attempt spend; every earlier attempt of its task may not any more.

        One that has ended, or that a newer one of its task has followed, gets no right: whoever asks is late.
        `origin` is the task that it retries or whose child it is, empty without one.
        """
        newest = max(self._granted.get(attempt.task, 0), self._book.newest_fence(attempt.task))
        if attempt.fence < newest or self._grants.get(attempt) is not None:
            return
        self.end(AttemptKey(attempt.task, newest), now=now)
        self._granted[attempt.task] = attempt.fence
        self._secret = self._secret or self._book.secret or new_secret()
        token = credential_of(self._secret, attempt)
        self._minted[attempt] = token.text
        made = SpendGrant(
            attempt=attempt,
            root=self._learn_root(attempt.task, origin, now),
            agent=agent,
            providers=providers,
            token_id=token.id,
            digest=token.digest,
            granted_at=now,
        )
        self._grants.put(attempt, made)

    def root_of(self, task: str, origin: str) -> str:
        """The task with which a task's family began."""
        if known := self._families.get(task):
            return known[0]
        before = self._families.get(origin)
        return before[0] if before else origin or task

    def _learn_root(self, task: str, origin: str, now: datetime) -> str:
        """Remember it, so that it holds when the earlier ones are long gone."""
        root = self.root_of(task, origin)
        if root != task and self._families.get(task) is None:
            self._families.put(task, (root, now))
        return root

    def credential(self, attempt: AttemptKey) -> str:
        """The text of the credential of an attempt that may spend; empty for any other."""
        if self.may_spend(attempt) is None:
            return ""
        return self._minted.get(attempt) or credential_of(self._secret or self._book.secret, attempt).text

    def may_spend(self, attempt: AttemptKey) -> SpendGrant | None:
        """The grant of an attempt that has not ended."""
        grant = self._grants.get(attempt)
        return grant if grant is not None and grant.ended_at is None else None

    @property
    def blocked(self) -> list[SpendGrant]:
        """Attempts whose last call was refused for want of room."""
        grants = [self._grants.get(attempt) for attempt in self._book.blocked]
        return [grant for grant in grants if grant is not None and grant.block is not None]

    def end(self, attempt: AttemptKey, *, now: datetime) -> None:
        """An attempt has ended: its credential dies at once, what it has reserved lives on for its time."""
        grant = self._grants.get(attempt)
        if grant is not None and grant.ended_at is None:
            self._grants.put(attempt, replace(grant, ended_at=self._moment(now), block=None))

    def renew_secret(self, secret: bytes) -> None:
        """Make the credentials of attempts to come from another secret, for one that may be known. None may live."""
        self._secret = secret

    def unblock(self, attempt: AttemptKey) -> None:
        """There is room again for what an attempt was refused."""
        grant = self._grants.get(attempt)
        if grant is not None and grant.block is not None:
            self._grants.put(attempt, replace(grant, block=None))

    # -- what is left

    def was_set(self, name: CapName) -> Cap | None:
        """The cap that was set at run time under a name."""
        return self._caps.get(name)

    def set_cap(self, name: CapName, cap: Cap | None) -> None:
        """Set a cap at run time; None: what is configured holds again."""
        self._caps.put(name, cap)

    def balance(self, account: AccountKey) -> Balance | None:
        """What is booked on an account; None: nothing ever was."""
        return self._balances.get(account)

    def reservation(self, name: ReservationKey) -> Reservation | None:
        """A reservation, whatever became of it."""
        return self._reservations.get(name)

    def full(self, accounts: Iterable[AccountKey], micros: int, caps: Caps, now: datetime) -> CapReached | None:
        """Of the accounts on which `micros` do not fit, the one that stays so longest; None when there is room."""
        at = self.moment(now)
        found: list[CapReached] = []
        for account in accounts:
            cap = caps.of(account)
            if cap is None or cap.micros is None:
                continue
            balance = self._balances.get(account) or Balance(0, 0, at)
            if balance.spent + balance.reserved + micros > cap.micros:
                found.append(CapReached(account, cap, balance, micros, opens_at(account, at)))
        return max(found, key=lambda one: (one.opens_at is None, one.opens_at or at), default=None)

    def still_blocked(self, block: Block, caps: Caps, now: datetime) -> CapReached | None:
        """Why a call that was refused would be refused again; None when it would not."""
        if is_past(block.account, self.moment(now)):
            return None
        return self.full((block.account,), block.micros, caps, now)

    def moment(self, now: datetime) -> datetime:
        """`now`, but never before the last booking: a clock set back opens no day a second time.

        A booking that is more than a day ahead does not count: its day would not end before that clock is right.
        What each window holds is kept, so that going back to it frees nothing.
        """
        latest = self._latest or self._book.latest
        return now if latest is None or latest - now > AHEAD_MAX else max(now, latest)

    def _moment(self, now: datetime) -> datetime:
        self._latest = self.moment(now)
        return self._latest

    # -- calls

    def reserve(
        self, grant: SpendGrant, key: str, ask: Ask, price: Callable[[datetime], Price], caps: Caps, *, now: datetime
    ) -> Reservation | CapReached:
        """Promise money to a call. The same key again gets the same promise, and is not asked for its price again.

        Raises Conflict for a key that was used for something else or is over, Denied for a provider that the agent does
        not declare, Invalid (from `price`) for a call of unknown cost.
        """
        name = ReservationKey(grant.attempt, key)
        if known := self._reservations.get(name):
            return _same(known, ask)
        if ask.provider not in grant.providers:
            raise Denied(
                "provider_undeclared",
                f"Agent {grant.agent} does not say that it uses {ask.provider or '(no provider named)'}.",
                remedy=f'Add "cloud:{ask.provider}" to `uses` in its manifest.',
            )
        at = self._moment(now)
        known_price = replace(price(at), valid_until=None)
        made = Reservation(
            key=name,
            root=grant.root,
            agent=grant.agent,
            ask=ask,
            usage=ask.usage,
            price=known_price,
            micros=known_price.cost(ask.usage),
            made_at=at,
        )
        if reached := self.full(made.accounts, made.micros, caps, now):
            return self._refuse(grant, reached)
        self._book_on(made, reserved=made.micros, spent=0, at=at)
        self._reservations.put(name, made)
        self.unblock(grant.attempt)
        return made

    def extend(
        self, grant: SpendGrant, key: str, usage: Usage, caps: Caps, *, now: datetime
    ) -> Reservation | CapReached:
        """Raise a reservation to a new total, at the price at which it was made; the same total again changes nothing.

        Raises NotFound, or Conflict when it is over or would shrink (settling does that).
        """
        held = self._find(ReservationKey(grant.attempt, key))
        if held.stage is not Stage.HELD:
            raise _is_over(held)
        more = held.price.cost(usage) - held.micros
        if more < 0:
            raise Conflict("reservation_shrinks", f"The reservation {key} is for more than that already.")
        if usage == held.usage:
            return held
        if reached := self.full(held.accounts, more, caps, now):
            return self._refuse(grant, reached)
        grown = replace(held, usage=usage, micros=held.micros + more)
        self._book_on(grown, reserved=more, spent=0, at=self._moment(now))
        self._reservations.put(held.key, grown)
        return grown

    def settle(self, name: ReservationKey, actual: Callable[[Price], int], *, now: datetime) -> Reservation:
        """Book what a call has cost in place of what was promised, also when it is more; the same again is the same.

        A reservation that was charged in full because nobody had settled it is put right. Raises NotFound, or Conflict
        when it was released or settled otherwise.
        """
        found = self._find(name)
        micros = actual(found.price)
        match found.stage:
            case Stage.SETTLED if found.actual_micros == micros:
                return found
            case Stage.SETTLED | Stage.RELEASED:
                raise _is_over(found)
            case Stage.CHARGED:
                return self._close(found, Stage.SETTLED, micros, reserved=0, spent=micros - found.micros, now=now)
            case _:
                return self._close(found, Stage.SETTLED, micros, reserved=-found.micros, spent=micros, now=now)

    def release(self, name: ReservationKey, *, now: datetime) -> Reservation:
        """Give a promise back: the call was not made. Raises NotFound, or Conflict when it was settled or charged."""
        found = self._find(name)
        if found.stage is Stage.RELEASED:
            return found
        if found.stage is not Stage.HELD:
            raise _is_over(found)
        return self._close(found, Stage.RELEASED, 0, reserved=-found.micros, spent=0, now=now)

    def charge(self, name: ReservationKey, *, now: datetime) -> Reservation:
        """Its attempt has ended and nobody has settled it: book it in full."""
        found = self._find(name)
        return self._close(found, Stage.CHARGED, found.micros, reserved=-found.micros, spent=found.micros, now=now)

    # -- forgetting

    def forget(self, forgotten: Forgotten) -> None:
        """Take away what nobody will ask for again."""
        for attempt in forgotten.grants:
            self._grants.put(attempt, None)
        for name in forgotten.reservations:
            self._reservations.put(name, None)
        for account in forgotten.balances:
            self._balances.put(account, None)
        for task in forgotten.families:
            self._families.put(task, None)

    # -- bookings

    def book_as_elsewhere(self, account: AccountKey, micros: int, at: datetime) -> None:
        """Count as spent what another record of this ledger has booked at `at` and this one has not."""
        before = self._balances.get(account) or Balance(0, 0, at)
        self._balances.put(account, Balance(before.spent + micros, before.reserved, max(before.used_at, at)))
        self._latest = max(self._latest or self._book.latest or at, at)

    def _find(self, name: ReservationKey) -> Reservation:
        found = self._reservations.get(name)
        if found is None:
            raise NotFound("no_reservation", f"This attempt has no reservation with the key {name.key}.")
        return found

    def _close(
        self, found: Reservation, stage: Stage, actual: int, *, reserved: int, spent: int, now: datetime
    ) -> Reservation:
        at = self._moment(now)
        closed = replace(found, stage=stage, actual_micros=actual, ended_at=at)
        self._book_on(closed, reserved=reserved, spent=spent, at=at)
        self._reservations.put(found.key, closed)
        return closed

    def _book_on(self, reservation: Reservation, *, reserved: int, spent: int, at: datetime) -> None:
        for account in reservation.accounts:
            before = self._balances.get(account) or Balance(0, 0, at)
            self._balances.put(account, Balance(before.spent + spent, before.reserved + reserved, at))

    def _refuse(self, grant: SpendGrant, reached: CapReached) -> CapReached:
        block = Block(reached.account, reached.asked_micros)
        if grant.block != block:
            self._grants.put(grant.attempt, replace(grant, block=block))
        return reached


def _same(known: Reservation, ask: Ask) -> Reservation:
    if known.ask != ask:
        raise Conflict(
            "key_reused",
            f"The key {known.key.key} was used for another call.",
            remedy="Take a new key for each call, and the same one only to send a request again.",
        )
    if known.stage is not Stage.HELD:
        raise _is_over(known)
    return known


def _is_over(found: Reservation) -> Conflict:
    return Conflict(
        "reservation_over",
        f"The reservation {found.key.key} is {found.stage} already.",
        remedy="Take a new key for each call.",
    )
