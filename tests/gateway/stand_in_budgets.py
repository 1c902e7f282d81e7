"""Two error budgets: the fleet's, of which nothing has ended lately, and an agent's that is spent."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from foundation.auth import current_caller
from foundation.errors import NotFound
from protos.safety.v1 import budgets_pb2, budgets_pb2_grpc
from tests.gateway.stand_in_coordinator import Context, World

SINCE = 1_767_225_600


class Budgets(budgets_pb2_grpc.BudgetServiceServicer):
    """`world.budgets_reset` has the scopes that were reset, and why."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def ListBudgets(
        self, request: budgets_pb2.ListBudgetsRequest, context: Context
    ) -> budgets_pb2.ListBudgetsResponse:
        """Both, or the spent one."""
        found = [_of_agent()] if request.not_normal else [_of_fleet(), _of_agent()]
        return budgets_pb2.ListBudgetsResponse(budgets=found)

    async def ResetBudget(
        self, request: budgets_pb2.ResetBudgetRequest, context: Context
    ) -> budgets_pb2.ResetBudgetResponse:
        """Begins anew."""
        if request.scope != "agent:build":
            raise NotFound("no_budget", f"There is no error budget of {request.scope}.")
        self.world.budgets_reset[request.scope] = f"{request.reason}, says {current_caller().name}"
        fresh = budgets_pb2.Budget(
            scope=request.scope, objective=0.95, left=1, grade=budgets_pb2.BUDGET_GRADE_NORMAL, forgiven_by="ann"
        )
        return budgets_pb2.ResetBudgetResponse(budget=fresh)

    async def RecordMergeOutcome(
        self, request: budgets_pb2.RecordMergeOutcomeRequest, context: Context
    ) -> budgets_pb2.RecordMergeOutcomeResponse:
        """No gateway tells of merges."""
        return budgets_pb2.RecordMergeOutcomeResponse()

    async def GetMergeStanding(
        self, request: budgets_pb2.GetMergeStandingRequest, context: Context
    ) -> budgets_pb2.GetMergeStandingResponse:
        """No gateway asks yet."""
        return budgets_pb2.GetMergeStandingResponse()


def _of_fleet() -> budgets_pb2.Budget:
    return budgets_pb2.Budget(
        scope="fleet",
        objective=0.99,
        attempts=200,
        failures=1,
        left=0.5,
        windows=[budgets_pb2.BudgetWindow(minutes=60)],
        grade=budgets_pb2.BUDGET_GRADE_NORMAL,
    )


def _of_agent() -> budgets_pb2.Budget:
    return budgets_pb2.Budget(
        scope="agent:build",
        objective=0.95,
        attempts=5,
        failures=5,
        left=-19,
        windows=[budgets_pb2.BudgetWindow(minutes=60, attempts=5, failures=5, burn=20)],
        grade=budgets_pb2.BUDGET_GRADE_SPENT,
        evidence="5 of 5 attempts failed in 1 h",
        since=Timestamp(seconds=SINCE),
        thaws_at=Timestamp(seconds=SINCE + 604_800),
    )
