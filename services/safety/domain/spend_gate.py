"""Spend as a gate of admission and of renewal: nothing starts that could not pay, and at its cap a tree is paused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundation.money import format_dollars
from services.safety.domain.admission import Refusal, mode_refusal
from services.safety.domain.attempt import AttemptKey, Candidate
from services.safety.domain.book import Book
from services.safety.domain.mode import ModeStatus
from services.safety.domain.renewal import CONTINUE, Renewal, RenewalKind
from services.safety.domain.spend_caps import AccountKey, CapName, Caps, accounts_of
from services.safety.domain.spend_ledger import CapReached, Ledger
from services.safety.domain.spend_prices import PriceTable

CLOUD = "cloud:"
_LOOK_AGAIN = timedelta(seconds=10)
"""When to look again at files that cannot be read: nobody tells us when they have been mended."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices and caps as they are written in the workspace; `fault` says why they cannot be used, empty: they can."""

    prices: PriceTable = field(default_factory=PriceTable)
    caps: Mapping[CapName, int | None] = field(default_factory=dict)
    fault: str = ""


def providers_of(uses: Sequence[str]) -> tuple[str, ...]:
    """The providers among the scopes that an agent uses."""
    return tuple(use.removeprefix(CLOUD) for use in uses if use.startswith(CLOUD))


class SpendGate:
    """Concerns agents that declare `uses = ["cloud:…"]`; costs nothing for any other."""

    def __init__(
        self, ledger: Ledger, tariff: Callable[[], Tariff], mode: ModeStatus, new_secret: Callable[[], bytes]
    ) -> None:
        self._ledger = ledger
        self._tariff = tariff
        self._mode = mode
        self._new_secret = new_secret

    def refusals(self, candidate: Candidate, book: Book, now: datetime) -> Sequence[Refusal]:
        """The account that is full for longest, a mode without new spend, or files that cannot be read."""
        providers = providers_of(candidate.uses)
        if not providers:
            return ()
        if not self._mode.lets_spend and self._mode.lets_start:
            refusal = mode_refusal(self._mode)
            return (Refusal(scope=refusal.scope, code="mode", reason=f"{refusal.reason}: no new spend"),)
        tariff = self._tariff()
        if tariff.fault:
            return (
                Refusal(scope=CLOUD + providers[0], code="spend", reason=tariff.fault, ask_again_at=now + _LOOK_AGAIN),
            )
        reached = self._full(candidate, providers, Caps(tariff.caps, self._ledger.was_set), now)
        return () if reached is None else (refusal_of(reached),)

    def _full(self, candidate: Candidate, providers: tuple[str, ...], caps: Caps, now: datetime) -> CapReached | None:
        root = self._ledger.root_of(candidate.attempt.task, candidate.origin)
        at = self._ledger.moment(now)
        accounts = {one for name in providers for one in accounts_of(root, candidate.agent, name, at)}
        if reached := self._ledger.full(sorted(accounts), 1, caps, now):
            return reached
        for grant in self._ledger.blocked:
            # What one attempt of the agent was refused, the next would be refused too.
            block = grant.block
            related = grant.agent == candidate.agent or grant.root == root
            if block is None or not related or block.account not in accounts:
                continue
            if reached := self._ledger.still_blocked(block, caps, now):
                return reached
        return None

    def take(self, candidate: Candidate, book: Book, now: datetime) -> bool:
        """Give the attempt its right to spend, or at least its credential; that is no permit of a breaker."""
        providers = providers_of(candidate.uses)
        if providers or candidate.identified:
            self._ledger.grant(
                candidate.attempt,
                agent=candidate.agent,
                providers=providers,
                origin=candidate.origin,
                now=now,
                new_secret=self._new_secret,
            )
        return False


class SpendRenewal:
    """Pauses the attempts whose last call did not fit, for as long as it would not."""

    def __init__(self, ledger: Ledger, tariff: Callable[[], Tariff], now: datetime) -> None:
        """Those whose call would fit by now are let go at once."""
        self._paused: dict[AttemptKey, Renewal] = {}
        self.let_go: list[AccountKey] = []
        """Accounts that have room again for somebody who was paused for want of it."""
        blocked = ledger.blocked
        if not blocked:
            return
        caps = Caps(tariff().caps, ledger.was_set)
        for grant in blocked:
            reached = ledger.still_blocked(grant.block, caps, now) if grant.block else None
            if reached is None:
                ledger.unblock(grant.attempt)
                self.let_go += [grant.block.account] if grant.block else []
            else:
                self._paused[grant.attempt] = Renewal(
                    kind=RenewalKind.PAUSE, code="spend", reason=sentence_of(reached), until=reached.opens_at
                )

    def renewal(self, attempt: AttemptKey, now: datetime) -> Renewal:
        """Paused at its cap, or go on."""
        return self._paused.get(attempt, CONTINUE)


def refusal_of(reached: CapReached) -> Refusal:
    """A full account as the reason of a refusal."""
    return Refusal(
        scope=reached.account.subject, code="spend", reason=sentence_of(reached), ask_again_at=reached.opens_at
    )


def sentence_of(reached: CapReached) -> str:
    """Which cap is reached, by how much, and when that changes."""
    account, balance = reached.account, reached.balance
    booked = f"{format_dollars(balance.spent)} spent"
    if balance.reserved:
        booked += f" and {format_dollars(balance.reserved)} reserved"
    wanted = f", and {format_dollars(reached.asked_micros)} more do not fit" if reached.asked_micros > 1 else ""
    until = f"; it opens at {reached.opens_at:%Y-%m-%d %H:%M} UTC" if reached.opens_at else ""
    cap = format_dollars(reached.cap.micros or 0)
    return f"the spend cap of {cap} of {account.in_words} is reached: {booked}{wanted}{until}"
