"""What the ledger may forget, so that it does not grow for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from services.safety.domain.attempt import FLEET, AttemptKey
from services.safety.domain.spend_book import SpendBook
from services.safety.domain.spend_caps import AccountKey, Per
from services.safety.domain.spend_records import Balance, ReservationKey, Stage

KEPT = timedelta(days=90)
"""As long as a dead or undecided task is kept, which could be run again under its family's cap."""
OVER_KEPT_MAX = 20_000
"""Settled and released reservations that are remembered, for requests that are sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What is taken away."""

    grants: tuple[AttemptKey, ...] = ()
    reservations: tuple[ReservationKey, ...] = ()
    balances: tuple[AccountKey, ...] = ()
    families: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.grants or self.reservations or self.balances or self.families)


def what_to_forget(book: SpendBook, now: datetime, grace: timedelta) -> Forgotten:
    """Grants of which nothing is open, what they settled, and what was last touched 90 days ago."""
    open_attempts = {name.attempt for name in book.held}
    grants = {attempt for attempt in book.ended if attempt not in open_attempts and _is_over(book, attempt, now, grace)}
    reservations = [name for name in book.over if name.attempt in grants] if grants else []
    reservations += list(islice(book.over, max(0, len(book.over) - OVER_KEPT_MAX)))
    if not book.prune_due(now):
        return Forgotten(grants=tuple(grants), reservations=tuple(dict.fromkeys(reservations)))
    old = min(now, _last_day_but_one(book) or book.latest or now) - KEPT
    reservations += [
        name
        for name, one in book.reservations.items()
        if one.stage is Stage.CHARGED and one.ended_at is not None and one.ended_at < old
    ]
    return Forgotten(
        grants=tuple(grants),
        reservations=tuple(dict.fromkeys(reservations)),
        balances=tuple(account for account, one in book.balances.items() if _is_old(account, one, old)),
        families=tuple(task for task, (_, learned_at) in book.families.items() if learned_at < old),
    )


def _last_day_but_one(book: SpendBook) -> datetime | None:
    """The last day but one on which anybody spent (the last where there is one alone); None before the first.

    The last may have been booked by a clock that was ahead for a moment, and what holds today must not be taken for
    old by it.
    """
    days = sorted(one.window for one in book.balances if one.subject == FLEET and one.per is Per.DAY)
    return datetime.fromisoformat(days[-2:][0]).replace(tzinfo=UTC) if days else None


def _is_old(account: AccountKey, balance: Balance, old: datetime) -> bool:
    """What is counted for ever of an agent, a provider or the fleet is never old: its cap may count for ever too."""
    is_for_ever = account.per is Per.TOTAL and not account.subject.startswith("attempt:")
    return balance.used_at < old and not balance.reserved and not is_for_ever


def _is_over(book: SpendBook, attempt: AttemptKey, now: datetime, grace: timedelta) -> bool:
    ended_at = book.grants[attempt].ended_at
    return ended_at is not None and now - ended_at >= grace
