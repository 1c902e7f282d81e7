"""Admission's gate of the error budgets: a spent agent starts nothing, a nearly spent one a single task at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.safety.domain.admission import Refusal
from services.safety.domain.attempt import Candidate, scope_in_words
from services.safety.domain.book import Book
from services.safety.domain.budget import (
    Acting,
    Grade,
    Standing,
    is_agent,
    left,
    spent_sentence,
    starting_scopes,
)
from services.safety.domain.budget_book import BudgetBook
from services.safety.domain.budget_counts import WEEK_MINUTES


@dataclass(frozen=True, slots=True)
class BudgetGate:
    """Refuses what a budget holds; gives out the one place of a scope that runs one at a time."""

    budgets: BudgetBook

    def refusals(self, candidate: Candidate, book: Book, now: datetime) -> Sequence[Refusal]:
        """One refusal per budget that holds the candidate."""
        if not self.budgets.holds_anything:
            return ()
        return list(self._refusals(candidate))

    def take(self, candidate: Candidate, book: Book, now: datetime) -> bool:
        """Take the place of each of its scopes that has but one."""
        if not self.budgets.holds_anything:
            return False
        took = False
        for scope in starting_scopes(candidate.agent, candidate.uses):
            if self.budgets.standing(scope).grade in (Grade.SINGLE, Grade.SPENT):
                self.budgets.give(scope, candidate.attempt)
                took = True
        return took

    def _refusals(self, candidate: Candidate) -> Iterator[Refusal]:
        for scope in starting_scopes(candidate.agent, candidate.uses):
            standing = self.budgets.standing(scope)
            match standing:
                case Standing(acting=Acting(grade=Grade.SPENT)) if is_agent(scope):
                    yield self._frozen(scope)
                case Standing(acting=Acting(grade=Grade.SINGLE | Grade.SPENT), permit=permit) if (
                    permit is not None and permit.holder != candidate.attempt
                ):
                    # An upper bound: whoever tells the end of that attempt may ask again at once.
                    yield Refusal(
                        scope=scope,
                        code="budget",
                        reason=self._one_at_a_time(scope, permit.holder.task),
                        ask_again_at=permit.deadline.at,
                    )

    def _frozen(self, scope: str) -> Refusal:
        budgets = self.budgets
        allowed = budgets.rules.allowed(scope)
        thaws_at = budgets.thaws_at(scope)
        week = budgets.seen(scope).within(WEEK_MINUTES, budgets.minute)
        reason = (
            f"{scope_in_words(scope)} is frozen, its error budget is spent: {spent_sentence(week, allowed)}; "
            f"it thaws at {thaws_at:%Y-%m-%d %H:%M} UTC, or by `quantum budget reset {scope}`"
        )
        return Refusal(scope=scope, code="budget", reason=reason, ask_again_at=thaws_at)

    def _one_at_a_time(self, scope: str, holder: str) -> str:
        budgets = self.budgets
        week = budgets.seen(scope).within(WEEK_MINUTES, budgets.minute)
        share = max(0.0, left(week, budgets.rules.allowed(scope)))
        return (
            f"{scope_in_words(scope)} has {share:.0%} of its error budget left, so it runs one task at a time: "
            f"it waits for task {holder}"
        )
