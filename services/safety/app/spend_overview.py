"""What people see of the spend ledger: every account with its cap, what is open, and who is paused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest

from services.safety.app.spend import Spend
from services.safety.app.state import SafetyState
from services.safety.domain.admission import mode_refusal
from services.safety.domain.attempt import FLEET
from services.safety.domain.spend_caps import AccountKey, Cap, Caps, is_past, opens_at, windows
from services.safety.domain.spend_gate import sentence_of
from services.safety.domain.spend_ledger import Ledger
from services.safety.domain.spend_prices import Price
from services.safety.domain.spend_records import Balance, Reservation, SpendGrant, Stage

OPEN_SHOWN_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """One account whose window holds; `cap` None: none."""

    account: AccountKey
    balance: Balance
    cap: Cap | None
    opens_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendView:
    """The ledger at one moment. `paused` has a sentence for each; `stopped_by` says why nothing new is spent at all."""

    accounts: Sequence[AccountView]
    open: Sequence[Reservation]
    paused: Sequence[tuple[SpendGrant, str]]
    stopped_by: str


class SpendOverview:
    """Reads; changes nothing."""

    def __init__(self, state: SafetyState, spend: Spend) -> None:
        self._state = state
        self._spend = spend

    def get(self) -> SpendView:
        """The accounts that hold now: the fleet's first, then by scope; of attempts those that run."""
        book, now = self._state.spend, self._state.clock.now()
        ledger = Ledger(book)
        caps, at = self._spend.caps(), ledger.moment(now)
        roots = {f"attempt:{book.grants[attempt].root}" for attempt in book.live.values()}
        shown = {
            account
            for account in book.balances
            if not is_past(account, at) and (account.subject in roots or not account.subject.startswith("attempt"))
        }
        shown |= {AccountKey(FLEET, window) for window in windows(at)}
        accounts = sorted(shown, key=lambda account: (account.subject != FLEET, account))
        return SpendView(
            accounts=[self._account(account, caps, at) for account in accounts],
            open=self._open(),
            paused=self._paused(ledger, caps, now),
            stopped_by=self._stopped_by(),
        )

    def prices(self) -> tuple[Sequence[Price], str]:
        """Every known price, and why the files cannot be used as they are ("": they can)."""
        tariff = self._spend.tariff
        return tuple(tariff.prices), tariff.fault

    def _account(self, account: AccountKey, caps: Caps, at: datetime) -> AccountView:
        balance = self._state.spend.balances.get(account) or Balance(0, 0, at)
        return AccountView(account=account, balance=balance, cap=caps.of(account), opens_at=opens_at(account, at))

    def _open(self) -> Sequence[Reservation]:
        open_stages = (Stage.HELD, Stage.CHARGED)
        found = (one for one in self._state.spend.reservations.values() if one.stage in open_stages)
        return nlargest(OPEN_SHOWN_MAX, found, key=lambda one: one.made_at)

    def _paused(self, ledger: Ledger, caps: Caps, now: datetime) -> Sequence[tuple[SpendGrant, str]]:
        found = []
        for grant in ledger.blocked:
            reached = ledger.still_blocked(grant.block, caps, now) if grant.block else None
            if reached is not None:
                found.append((grant, sentence_of(reached)))
        return found

    def _stopped_by(self) -> str:
        mode = self._state.mode
        return self._spend.tariff.fault or ("" if mode.lets_spend else mode_refusal(mode).reason)
