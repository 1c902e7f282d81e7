"""Error budgets on the wire: decode, delegate, encode."""

from __future__ import annotations

from foundation.auth import current_caller
from foundation.tokens import mask
from protos.safety.v1 import budgets_pb2, budgets_pb2_grpc
from services.safety.app.budgets import Budgets
from services.safety.convert_budgets import budget_out, merge_out
from services.safety.servicer import Context


class BudgetServicer(budgets_pb2_grpc.BudgetServiceServicer):
    """Error budgets on the wire."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    async def ListBudgets(
        self, request: budgets_pb2.ListBudgetsRequest, context: Context
    ) -> budgets_pb2.ListBudgetsResponse:
        """List them with their burn rates."""
        views = self._budgets.list(not_normal=request.not_normal)
        return budgets_pb2.ListBudgetsResponse(budgets=map(budget_out, views))

    async def ResetBudget(
        self, request: budgets_pb2.ResetBudgetRequest, context: Context
    ) -> budgets_pb2.ResetBudgetResponse:
        """Let a scope begin anew."""
        view = await self._budgets.reset(request.scope, reason=mask(request.reason), actor=current_caller().name)
        return budgets_pb2.ResetBudgetResponse(budget=budget_out(view))

    async def RecordMergeOutcome(
        self, request: budgets_pb2.RecordMergeOutcomeRequest, context: Context
    ) -> budgets_pb2.RecordMergeOutcomeResponse:
        """Count what a merge check found."""
        view = await self._budgets.record_merge(request.project, request.check_id, bad=request.bad)
        return budgets_pb2.RecordMergeOutcomeResponse(standing=merge_out(view))

    async def GetMergeStanding(
        self, request: budgets_pb2.GetMergeStandingRequest, context: Context
    ) -> budgets_pb2.GetMergeStandingResponse:
        """Say what holds for a merge."""
        return budgets_pb2.GetMergeStandingResponse(standing=merge_out(self._budgets.merge_standing(request.project)))
