"""Error budgets: see them, let one begin anew."""

from __future__ import annotations

from flask import Response

from clients.safety_budgets_values import BudgetView
from gateway.answering import area, reply
from gateway.schemas import budgets as shapes
from gateway.schemas.documented import answers as documented
from gateway.state import caller

routes = area("budgets")


@routes.get("/budgets", responses=documented({200: shapes.Budgets}))
def list_budgets(query: shapes.BudgetQuery) -> Response:
    """What is left of each budget, how fast it burns, and what is in force."""
    not_normal = query.not_normal == "1"
    found = caller().safety(lambda safety, left: safety.budgets.list(not_normal=not_normal, deadline=left))
    return reply(shapes.Budgets(budgets=[_shown(budget) for budget in found]))


@routes.post("/budgets/<scope>/reset", responses=documented({200: shapes.OneBudget}, 404, 409, 415))
def reset(path: shapes.BudgetPath, body: shapes.BudgetReset) -> Response:
    """Forgets what a scope has counted and lifts what is in force for it; recorded with its reason."""
    budget = caller().safety(lambda safety, left: safety.budgets.reset(path.scope, reason=body.reason, deadline=left))
    return reply(shapes.OneBudget(budget=_shown(budget)))


def _shown(view: BudgetView) -> shapes.Budget:
    return shapes.Budget(
        scope=view.scope,
        objective=view.objective,
        attempts=view.attempts,
        failures=view.failures,
        left=view.left,
        windows=[
            shapes.BudgetWindow(
                minutes=window.minutes, attempts=window.attempts, failures=window.failures, burn=window.burn
            )
            for window in view.windows
        ],
        grade=view.grade,
        evidence=view.evidence or None,
        since=view.since,
        thaws_at=view.thaws_at,
        running_task_id=view.running_task_id or None,
        forgiven_at=view.forgiven_at,
        forgiven_by=view.forgiven_by or None,
        forgiven_reason=view.forgiven_reason or None,
    )
