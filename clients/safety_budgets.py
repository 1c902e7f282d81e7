"""The error budgets' client, over a channel to safety."""

from __future__ import annotations

from datetime import timedelta

import grpc.aio

from clients.calling import DEADLINE, ask
from clients.safety_budgets_values import BudgetView, BudgetWindowView, MergeStandingView
from clients.wire_values import moment_in
from protos.safety.v1 import budgets_pb2, budgets_pb2_grpc


class BudgetClient:
    """Every method raises QuantumError alone, as SafetyClient's do."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel belongs to whoever opened it."""
        self._budgets = budgets_pb2_grpc.BudgetServiceStub(channel)

    async def list(self, *, not_normal: bool = False, deadline: timedelta = DEADLINE) -> tuple[BudgetView, ...]:
        """The budgets, the fleet's first; `not_normal` leaves out those for which nothing is in force."""
        request = budgets_pb2.ListBudgetsRequest(not_normal=not_normal)
        answer = await ask(self._budgets.ListBudgets, request, deadline)
        return tuple(map(_budget_from, answer.budgets))

    async def reset(self, scope: str, *, reason: str, deadline: timedelta = DEADLINE) -> BudgetView:
        """Forgets what a scope has counted. Raises Invalid without a reason, NotFound where nothing was counted."""
        request = budgets_pb2.ResetBudgetRequest(scope=scope, reason=reason)
        return _budget_from((await ask(self._budgets.ResetBudget, request, deadline)).budget)

    async def record_merge(
        self, project: str, check_id: str, *, bad: bool, deadline: timedelta = DEADLINE
    ) -> MergeStandingView:
        """Counts what a merge check found, once per `check_id`; returns what holds after it. Raises Invalid."""
        request = budgets_pb2.RecordMergeOutcomeRequest(project=project, check_id=check_id, bad=bad)
        return _merge_from((await ask(self._budgets.RecordMergeOutcome, request, deadline)).standing)

    async def merge_standing(self, project: str, *, deadline: timedelta = DEADLINE) -> MergeStandingView:
        """What the budgets say now of a merge into a project. Raises Invalid."""
        request = budgets_pb2.GetMergeStandingRequest(project=project)
        return _merge_from((await ask(self._budgets.GetMergeStanding, request, deadline)).standing)


def _budget_from(message: budgets_pb2.Budget) -> BudgetView:
    return BudgetView(
        scope=message.scope,
        objective=message.objective,
        attempts=message.attempts,
        failures=message.failures,
        left=message.left,
        windows=tuple(map(_window_from, message.windows)),
        grade=budgets_pb2.BudgetGrade.Name(message.grade).removeprefix("BUDGET_GRADE_").lower(),
        evidence=message.evidence,
        since=moment_in(message, "since"),
        thaws_at=moment_in(message, "thaws_at"),
        running_task_id=message.running_task_id,
        forgiven_at=moment_in(message, "forgiven_at"),
        forgiven_by=message.forgiven_by,
        forgiven_reason=message.forgiven_reason,
    )


def _window_from(message: budgets_pb2.BudgetWindow) -> BudgetWindowView:
    return BudgetWindowView(
        minutes=message.minutes,
        attempts=message.attempts,
        failures=message.failures,
        burn=message.burn if message.HasField("burn") else None,
    )


def _merge_from(message: budgets_pb2.MergeStanding) -> MergeStandingView:
    freedom = budgets_pb2.MergeFreedom.Name(message.freedom).removeprefix("MERGE_FREEDOM_").lower()
    return MergeStandingView(freedom=freedom, reason=message.reason)
