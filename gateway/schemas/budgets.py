"""Error budgets, as they are asked for and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from gateway.schemas.base import Input, Output, Query


class BudgetQuery(Query):
    """Which budgets."""

    not_normal: Literal["0", "1"] = Field(default="0", description="1: only those for which something is in force.")


class BudgetPath(Query):
    """The address of a budget."""

    scope: Annotated[
        str,
        Field(
            pattern=r"^(fleet|[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9][A-Za-z0-9 ._-]{0,99})$", description="agent:build"
        ),
    ]


class BudgetReset(Input):
    """Why a scope may begin anew."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class BudgetWindow(Output):
    """One window."""

    minutes: int
    attempts: int
    failures: int
    burn: float | None = Field(description="How many times too fast it fails; null: nothing ended in it.")


class Budget(Output):
    """An error budget. Counted are the attempts of the last seven days that a breaker counts."""

    scope: str
    objective: float = Field(description="The share of attempts that is to succeed.")
    attempts: int
    failures: int
    left: float = Field(description="Share of the budget that is left; below 0 when more than all is spent.")
    windows: list[BudgetWindow]
    grade: str = Field(description="What is in force: normal, retries_halved, one_at_a_time or spent.")
    evidence: str | None = Field(description="Why, in figures; null: nothing is in force.")
    since: datetime | None
    thaws_at: datetime | None = Field(description="When a spent budget has something left again by time alone.")
    running_task_id: str | None = Field(
        description="The task that has the one place of a scope that runs one at a time."
    )
    forgiven_at: datetime | None
    forgiven_by: str | None
    forgiven_reason: str | None


class Budgets(Output):
    """Error budgets."""

    budgets: list[Budget]


class OneBudget(Output):
    """An error budget after a reset."""

    budget: Budget
