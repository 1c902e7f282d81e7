"""Error budgets as messages."""

from __future__ import annotations

from protos.safety.v1 import budgets_pb2
from services.safety.app.budgets import BudgetView, MergeView
from services.safety.convert import timestamp_out
from services.safety.domain.budget import Grade, MergeStanding
from services.safety.domain.budget_counts import Tally

_GRADES = {
    Grade.NORMAL: budgets_pb2.BUDGET_GRADE_NORMAL,
    Grade.HALVED: budgets_pb2.BUDGET_GRADE_RETRIES_HALVED,
    Grade.SINGLE: budgets_pb2.BUDGET_GRADE_ONE_AT_A_TIME,
    Grade.SPENT: budgets_pb2.BUDGET_GRADE_SPENT,
}
_FREEDOMS = {
    MergeStanding.FREE: budgets_pb2.MERGE_FREEDOM_FREE,
    MergeStanding.APPROVAL: budgets_pb2.MERGE_FREEDOM_APPROVAL,
    MergeStanding.FROZEN: budgets_pb2.MERGE_FREEDOM_FROZEN,
}


def budget_out(view: BudgetView) -> budgets_pb2.Budget:
    """A budget with its windows."""
    standing, forgiven = view.standing, view.standing.forgiven
    return budgets_pb2.Budget(
        scope=standing.scope,
        objective=view.objective,
        attempts=view.week.attempts,
        failures=view.week.failures,
        left=view.left,
        windows=[_window_out(minutes, *counted) for minutes, counted in view.windows.items()],
        grade=_GRADES[standing.grade],
        evidence=standing.acting.evidence if standing.acting else "",
        since=timestamp_out(standing.acting.since if standing.acting else None),
        thaws_at=timestamp_out(view.thaws_at),
        running_task_id=standing.permit.holder.task if standing.permit else "",
        forgiven_at=timestamp_out(forgiven.at if forgiven else None),
        forgiven_by=forgiven.actor if forgiven else "",
        forgiven_reason=forgiven.reason if forgiven else "",
    )


def merge_out(view: MergeView) -> budgets_pb2.MergeStanding:
    """What the budgets say of a merge."""
    return budgets_pb2.MergeStanding(freedom=_FREEDOMS[view.standing], reason=view.reason)


def _window_out(minutes: int, tally: Tally, burn: float | None) -> budgets_pb2.BudgetWindow:
    return budgets_pb2.BudgetWindow(minutes=minutes, attempts=tally.attempts, failures=tally.failures, burn=burn)
