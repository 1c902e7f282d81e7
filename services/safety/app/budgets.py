"""The error budgets' verbs: list, reset, count what a merge check found, say what holds for a merge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from foundation.errors import FieldFault, Invalid, NotFound, did_you_mean
from services.safety.app.draft import Draft
from services.safety.app.state import SafetyState
from services.safety.domain.attempt import FLEET, AttemptKey
from services.safety.domain.budget import (
    Grade,
    MergeStanding,
    Standing,
    burn,
    left,
    merge_standing,
)
from services.safety.domain.budget_book import BudgetBook
from services.safety.domain.budget_counts import WEEK_MINUTES, Tally

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CHECK_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """A budget at the moment of asking. `windows`: by their minutes, what was counted and the burn rate."""

    standing: Standing
    objective: float
    week: Tally
    left: float
    windows: Mapping[int, tuple[Tally, float | None]]
    thaws_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeView:
    """What the budgets say of a merge, and why when it is not free."""

    standing: MergeStanding
    reason: str


class Budgets:
    """What people and merge checks do with error budgets."""

    def __init__(self, state: SafetyState) -> None:
        self._state = state

    def list(self, *, not_normal: bool) -> Sequence[BudgetView]:
        """Every budget that has counted something, the fleet first; `not_normal`: those where something is in force."""
        book = self._state.budget_book()
        scopes = sorted(self._state.budgets.counts.keys() | self._state.budgets.standings.keys(), key=_order)
        views = [_view(book, scope) for scope in scopes]
        return [view for view in views if not not_normal or view.standing.grade is not Grade.NORMAL]

    async def reset(self, scope: str, *, reason: str, actor: str) -> BudgetView:
        """Forget what a scope has counted, durably. Raises Invalid without a reason, NotFound for an unknown scope."""
        if not reason.strip():
            fault = FieldFault("reason", "is missing")
            raise Invalid("no_reason", "A reset of an error budget needs a reason; it is kept.", fields=(fault,))
        known = self._state.budgets.counts
        if scope not in known:
            near = did_you_mean(scope, known)
            raise NotFound(
                "no_budget",
                f"There is no error budget of {scope}: nothing was counted there yet.",
                remedy=f"Did you mean {near}?" if near else "`quantum budget` lists them.",
            )

        def work(draft: Draft) -> BudgetView:
            before = _view(draft.budgets, scope)
            draft.budgets.forgive(scope, actor=actor, reason=reason)
            draft.book.epoch += draft.budgets.moves  # those who wait may ask again
            draft.audit(
                act="budget_reset",
                target=scope,
                before=f"{before.standing.grade}, {before.week.failures} of {before.week.attempts} failed",
                after=Grade.NORMAL,
                reason=reason,
            )
            return _view(draft.budgets, scope)

        return await self._state.change(work)

    async def record_merge(self, project: str, check_id: str, *, bad: bool) -> MergeView:
        """Count what a merge check found, once per check, durably; raises Invalid for what is no project or check."""
        _require_project(project)
        if not 0 < len(check_id) <= _CHECK_LENGTH_MAX:
            raise Invalid("bad_check", f"A merge check's id has 1 to {_CHECK_LENGTH_MAX} characters.")
        told = AttemptKey(f"merge:{check_id}", 0)

        def work(draft: Draft) -> MergeView:
            if told not in self._state.memory.taken_in:
                draft.decided.taken_in[told] = None
                draft.budgets.count((f"project:{project}",), failed=bad)
                draft.must_be_durable = True
                draft.book.epoch += draft.budgets.moves
            return _of_merge(draft.budgets, project)

        return await self._state.change(work)

    def merge_standing(self, project: str) -> MergeView:
        """What holds now for a merge into a project ("": by the fleet alone); raises Invalid for a bad name."""
        if project:
            _require_project(project)
        return _of_merge(self._state.budget_book(), project)


def _order(scope: str) -> tuple[bool, str]:
    return scope != FLEET, scope


def _view(book: BudgetBook, scope: str) -> BudgetView:
    standing, seen, allowed = book.standing(scope), book.seen(scope), book.rules.allowed(scope)
    tallies = {minutes: seen.within(minutes, book.minute) for minutes in book.rules.windows}
    week = seen.within(WEEK_MINUTES, book.minute)
    return BudgetView(
        standing=standing,
        objective=book.rules.objective(scope),
        week=week,
        left=left(week, allowed),
        windows={minutes: (tally, burn(tally, allowed)) for minutes, tally in tallies.items()},
        thaws_at=book.thaws_at(scope) if standing.grade is Grade.SPENT else None,
    )


def _of_merge(book: BudgetBook, project: str) -> MergeView:
    scopes = (f"project:{project}", FLEET) if project else (FLEET,)
    standing, reason = merge_standing([book.standing(scope) for scope in scopes])
    return MergeView(standing=standing, reason=reason)


def _require_project(project: str) -> None:
    if not _PROJECT.fullmatch(project):
        raise Invalid("bad_project", f"{project!r} is not the name of a project.")
