"""Which events of the spend ledger are alerts, and in which words."""

from __future__ import annotations

from datetime import datetime

from foundation.money import format_dollars
from services.safety.domain.alert import Alert, AlertBook, Level
from services.safety.domain.attempt import FLEET
from services.safety.domain.spend_caps import AccountKey
from services.safety.domain.spend_gate import sentence_of
from services.safety.domain.spend_ledger import CapReached
from services.safety.domain.spend_records import Reservation


def note_cap(alerts: AlertBook, reached: CapReached, now: datetime) -> None:
    """Somebody is paused at a cap: a warning, critical where it is the fleet's."""
    account, sentence = reached.account, sentence_of(reached)
    alerts.raise_(
        Alert(
            cause=_cause(account),
            level=Level.CRITICAL if account.subject == FLEET else Level.WARNING,
            sentence=f"{sentence[:1].upper()}{sentence[1:]}. What wants to spend more is paused.",
            remedy=f"quantum spend; quantum spend cap {account.subject} DOLLARS --per {account.per}.",
        ),
        now,
    )


def note_room(alerts: AlertBook, account: AccountKey, now: datetime) -> None:
    """There is room again where somebody was paused."""
    alerts.resolve(_cause(account), now)


def note_overrun(alerts: AlertBook, settled: Reservation, now: datetime) -> None:
    """A call cost more than was promised for it: the caps hold only as long as the estimates do."""
    task, cost = settled.key.attempt.task, format_dollars(settled.actual_micros or 0)
    alerts.raise_(
        Alert(
            cause=f"spend_overrun:{settled.agent}",
            level=Level.WARNING,
            sentence=f"A call of agent {settled.agent} (task {task}) cost {cost},"
            f" {format_dollars(settled.overrun)} more than was reserved for it.",
            remedy="Look at its price in config/prices.toml, and at the bound that its script sets for a call.",
        ),
        now,
    )


def note_charged(alerts: AlertBook, charged: Reservation, now: datetime) -> None:
    """Nobody said what a call cost: it was charged in full."""
    attempt = charged.key.attempt
    alerts.raise_(
        Alert(
            cause=f"spend_charged:{charged.agent}",
            level=Level.INFO,
            sentence=f"A call of agent {charged.agent} (task {attempt.task}) was never settled; it was charged in full,"
            f" {format_dollars(charged.micros)}.",
            remedy=f"quantum spend settle {attempt.task}:{attempt.fence} {charged.key.key} DOLLARS puts it right.",
        ),
        now,
    )


def _cause(account: AccountKey) -> str:
    return f"spend:{account.subject}:{account.per}"
