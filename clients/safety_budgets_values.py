"""Error budgets as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWindowView:
    """What was counted in the last so many minutes; `burn`: how many times too fast it failed, None: nothing ended."""

    minutes: int
    attempts: int
    failures: int
    burn: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """One budget; `grade` is `normal`, `retries_halved`, `one_at_a_time` or `spent`.

    `left` is a share, below 0 when more than all is spent. `attempts` and `failures` are those of the last seven days,
    `windows` has the shortest first. `evidence` says why something is in force. `thaws_at` is when a spent budget has
    something left again by time alone.
    """

    scope: str
    objective: float
    attempts: int
    failures: int
    left: float
    windows: tuple[BudgetWindowView, ...]
    grade: str
    evidence: str
    since: datetime | None
    thaws_at: datetime | None
    running_task_id: str
    forgiven_at: datetime | None
    forgiven_by: str
    forgiven_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeStandingView:
    """What the budgets say of a merge: `freedom` is `free`, `approval` or `frozen`, `reason` why it is not free."""

    freedom: str
    reason: str
