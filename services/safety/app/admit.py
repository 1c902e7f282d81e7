"""Admit and renew: safety's decisions about attempts that want to start, and about those that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundation.errors import Invalid
from foundation.ids import Randomness
from services.safety.app.draft import Draft
from services.safety.app.ladder import guard
from services.safety.app.spend import Spend
from services.safety.app.state import SafetyState
from services.safety.domain.admission import BreakerGate, Decision, Gate, ModeGate, decide
from services.safety.domain.alert_causes import note_ends
from services.safety.domain.attempt import AttemptKey, Candidate, Outcome
from services.safety.domain.breaker import BreakerRules
from services.safety.domain.budget_gate import BudgetGate
from services.safety.domain.mode import Mode
from services.safety.domain.renewal import ModeRenewal, Renewal, RenewalGate, renew

BATCH_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Admissions:
    """Decisions in the order of the candidates, the mode at that time, and the epoch after them."""

    decisions: Sequence[Decision]
    mode: Mode
    epoch: int
    retries_halved: Sequence[str] = ()
    """Scopes whose budget is acted on: tasks that touch one get half their retries."""
    credentials: Sequence[str] = ()
    """One for each candidate, empty for those that may not spend; nothing at all when none may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewals:
    """Answers in the order of the attempts, the mode at that time, and the epoch."""

    renewals: Sequence[Renewal]
    mode: Mode
    epoch: int


class Admission:
    """The one decision before an attempt starts."""

    def __init__(
        self, state: SafetyState, rules: BreakerRules, randomness: Randomness, spend: Spend | None = None
    ) -> None:
        self._state = state
        self._spend = spend or Spend(state)
        self._rules = rules
        self._randomness = randomness

    async def admit(self, outcomes: Sequence[Outcome], candidates: Sequence[Candidate]) -> Admissions:
        """Take in the outcomes, then decide on the candidates; durable on return as far as it must be.

        Raises Invalid for more than 1,000 of either.
        """
        _require_bounded("outcomes", len(outcomes))
        _require_bounded("candidates", len(candidates))

        def work(draft: Draft) -> Admissions:
            self._spend.take_in(draft, outcomes)
            note_ends(draft.alerts, outcomes, draft.now)
            draft.decided = decide(
                outcomes,
                candidates,
                book=draft.book,
                memory=self._state.memory,
                mode=draft.mode,
                gates=self._gates(draft),
                rules=self._rules,
                now=draft.now,
                draw=self._randomness.uniform,
                budgets=draft.budgets,
            )
            retries_halved = draft.budgets.tightened
            draft.book.epoch += draft.budgets.moves
            if draft.book.overload:
                guard(draft, draft.book.overload)
            decisions = draft.decided.decisions
            return Admissions(
                decisions=decisions,
                mode=draft.mode.mode,
                epoch=draft.book.epoch,
                retries_halved=retries_halved,
                credentials=self._spend.credentials(draft, candidates, decisions),
            )

        admissions = await self._state.change(work)
        self._spend.begin(candidates, admissions.credentials)
        return admissions

    def identify(self, credential: str) -> AttemptKey:
        """The running attempt whose credential this is. Raises Unauthenticated."""
        return self._spend.identify(credential)

    async def renew(self, attempts: Sequence[AttemptKey]) -> Renewals:
        """Say for each running attempt whether it may go on; prolongs the permits that they hold."""
        _require_bounded("attempts", len(attempts), 10 * BATCH_MAX)

        def work(draft: Draft) -> Renewals:
            renewals = renew(
                attempts, book=draft.book, gates=self._renewal_gates(draft, attempts), rules=self._rules, now=draft.now
            )
            draft.budgets.renew(attempts)
            draft.book.epoch += draft.budgets.moves
            return Renewals(renewals=renewals, mode=draft.mode.mode, epoch=draft.book.epoch)

        return await self._state.change(work)

    def _gates(self, draft: Draft) -> Sequence[Gate]:
        """Every gate of admission, in the order in which their refusals are listed."""
        return (ModeGate(draft.mode), BreakerGate(self._rules), BudgetGate(draft.budgets), self._spend.gate(draft))

    def _renewal_gates(self, draft: Draft, attempts: Sequence[AttemptKey]) -> Sequence[RenewalGate]:
        """Everything that can interrupt what runs; an attempt hears the strictest."""
        return (ModeRenewal(draft.mode), self._spend.renewal(draft, attempts))


def _require_bounded(what: str, count: int, count_max: int = BATCH_MAX) -> None:
    if count > count_max:
        raise Invalid("batch_too_large", f"One call carries at most {count_max:,} {what}, not {count:,}.")
