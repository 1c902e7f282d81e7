"""`quantum budget`: what it shows, and that a new beginning needs a reason."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from clients.safety_budgets_values import BudgetView, BudgetWindowView
from foundation.errors import NotFound
from tests.cli.conftest import Quantum
from tests.cli.fakes import NOW, PlayedSafety

SPENT = BudgetView(
    scope="agent:build",
    objective=0.95,
    attempts=5,
    failures=5,
    left=-19.0,
    windows=(
        BudgetWindowView(minutes=5, attempts=0, failures=0, burn=None),
        BudgetWindowView(minutes=60, attempts=5, failures=5, burn=20.0),
    ),
    grade="spent",
    evidence="5 of 5 attempts failed in 1 h",
    since=NOW,
    thaws_at=NOW + timedelta(days=7),
    running_task_id="",
    forgiven_at=None,
    forgiven_by="",
    forgiven_reason="",
)


@dataclass
class PlayedBudgets:
    """One budget, which is spent."""

    found: tuple[BudgetView, ...] = (SPENT,)
    resets: list[tuple[str, str]] = field(default_factory=list)

    async def list(self, *, not_normal: bool) -> tuple[BudgetView, ...]:
        """What there is."""
        return self.found

    async def reset(self, scope: str, *, reason: str) -> BudgetView:
        """Begins anew."""
        if scope != SPENT.scope:
            raise NotFound("no_budget", f"There is no error budget of {scope}.")
        self.resets.append((scope, reason))
        return replace(SPENT, grade="normal", left=1.0, attempts=0, failures=0)


@pytest.fixture
def budgets(played_safety: PlayedSafety) -> PlayedBudgets:
    played = PlayedBudgets()
    played_safety.budgets = played
    return played


def test_it_shows_what_is_left_how_fast_it_burns_and_what_is_in_force(quantum: Quantum, budgets: PlayedBudgets) -> None:
    shown = quantum("budget").out.splitlines()
    assert shown[0].split()[:6] == ["SCOPE", "OBJECTIVE", "LEFT", "FAILED", "BURN", "1h"]
    assert shown[1].split()[:6] == ["agent:build", "0.95", "0%", "5/5", "20×", "-"]
    assert shown[1].endswith("5 of 5 attempts failed in 1 h")


def test_as_json_nothing_is_rounded_and_what_is_not_known_is_null(quantum: Quantum, budgets: PlayedBudgets) -> None:
    (budget,) = quantum("budget", "--json").document["budgets"]
    assert (budget["left"], budget["forgiven_by"], budget["thaws_at"]) == (-19.0, None, "2026-01-08T00:00:00Z")
    assert [window["burn"] for window in budget["windows"]] == [None, 20.0]


def test_nothing_in_force_is_said(quantum: Quantum, budgets: PlayedBudgets) -> None:
    budgets.found = ()
    assert quantum("budget", "--acting").out == "Nothing is in force.\n"
    assert quantum("budget").out == "Nothing has ended yet that a budget counts.\n"


def test_a_new_beginning_needs_a_reason_and_takes_an_agents_name(quantum: Quantum, budgets: PlayedBudgets) -> None:
    assert quantum("budget", "reset", "build").code == 2
    done = quantum("budget", "reset", "build", "--reason", "the disk was full")
    assert done.out == "The error budget of agent:build begins anew.\n"
    assert budgets.resets == [("agent:build", "the disk was full")]
    assert quantum("budget", "reset", "build", "--reason", "x", "--json").document["undo"] is None
    assert quantum("budget", "reset", "other", "--reason", "x").code == 66
