"""A spent error budget freezes an agent through kill -9 of everything until a person resets it, and halves retries."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec, TaskState
from clients.safety import SafetyClient
from clients.safety_budgets_values import BudgetView
from foundation.errors import Denied
from tests.acceptance.deployment import Deployment, deployed
from tests.acceptance.test_breaker import run_one
from tests.waiting import eventually

FAILURES_TO_FREEZE = 5
"""0.05 to the power of 5 is less than one in a million."""
BREAKERS_OUT_OF_THE_WAY = {
    "breaker_consecutive_failures": 1_000,
    "breaker_window": 62,
    "breaker_window_min": 62,
    "breaker_failure_share": 1,
}


async def budget_of(system: Deployment, scope: str) -> BudgetView:
    async with system.safety() as safety:
        return {one.scope: one for one in await safety.budgets.list()}[scope]


async def _frozen(client: CoordinatorClient, task_id: str) -> str | None:
    why = await client.explain(task_id)
    assert why.until is None or why.until > datetime(2026, 1, 1, tzinfo=UTC)
    return f"{why.sentence} [{why.remedy}]" if why.code == "budget" and why.until is not None else None


async def test_a_spent_agent_is_frozen_until_a_person_resets_it(tmp_path: Path) -> None:
    async with deployed(tmp_path, script_retry_seconds=0.05, **BREAKERS_OUT_OF_THE_WAY) as system:
        for name in ("early", "late"):
            system.agent(name, "exit 1", manifest="retries = 2")
        system.agent("dead", '[ -e "$QUANTUM_WORKSPACE/mended" ] || exit 1')
        await system.up("safety", "coordinator", "runner-local")
        async with system.coordinator() as client:
            await client.reload_agents()
            await run_one(client, "early")
            ends = [await run_one(client, "dead") for _ in range(FAILURES_TO_FREEZE)]
            waiting = (await client.submit([TaskSpec(agent="dead")])).tasks[0]
            why = await eventually(lambda: _frozen(client, waiting.id), "the queue says that the budget is spent")
            await run_one(client, "late")
            last = (await client.submit([TaskSpec(agent="late")])).tasks[0]
            said = await eventually(lambda: _reason(client, last.id), "it has ended")

            everything = ("safety", "coordinator", "runner-local")
            system.kill(*everything)
            await system.up(*everything)
            still = await eventually(lambda: _frozen(client, waiting.id), "it is still frozen")
            spent = await budget_of(system, "agent:dead")
            counted = await budget_of(system, "fleet")
            ran = Counter(run.agent for run in system.runs.all())

            (system.workspace.root / "mended").touch()
            async with system.safety() as safety:
                anew = await safety.budgets.reset("agent:dead", reason="the disk is replaced")
                (record,) = [one for one in (await safety.audit.page(limit=20)).records if one.act == "budget_reset"]
            await eventually(lambda: _succeeded(client, waiting.id), "it runs at once")

    print(f"{why}; after kill -9 of everything: {still}; “{said}”; ran {dict(ran)}; then {anew.left:.0%} left")
    assert ends == [TaskState.FAILED] * FAILURES_TO_FREEZE
    assert "agent dead is frozen, its error budget is spent: 5 of 5 counted attempts failed" in why
    assert why.endswith("[quantum budget]")
    assert still == why
    assert (spent.grade, spent.left, (spent.failures, spent.attempts)) == ("spent", -19.0, (5, 5))
    assert spent.thaws_at is not None and spent.since is not None
    assert timedelta(days=6, hours=23) < spent.thaws_at - spent.since <= timedelta(days=7)
    assert ran == {"early": 3, "dead": FAILURES_TO_FREEZE, "late": 4}, "the later one had one retry instead of two"
    assert "Its retries were halved: an error budget is nearly spent" in said
    assert (counted.failures, counted.attempts) == (12, 12)
    assert (anew.grade, anew.left, anew.forgiven_reason) == ("normal", 1.0, "the disk is replaced")
    assert (record.target, record.reason) == ("agent:dead", "the disk is replaced")


async def test_merge_checks_feed_their_project_and_only_the_coordinator_tells_of_them(tmp_path: Path) -> None:
    async with deployed(tmp_path) as system:
        await system.up("safety")
        own = system.credential("coordinator")
        async with SafetyClient.dial(system.workspace.socket("safety"), token=lambda: own) as coordinator:
            seen = [
                (await coordinator.budgets.record_merge("shop", f"check-{number // 2}", bad=True)).freedom
                for number in range(8)
            ]
        async with system.safety() as safety:
            with pytest.raises(Denied):
                await safety.budgets.record_merge("shop", "check-9", bad=False)
            standing = await safety.budgets.merge_standing("shop")
            other = await safety.budgets.merge_standing("garden")
    print(f"told twice each: {seen}; {standing.reason}")
    assert seen == ["free"] * 6 + ["frozen"] * 2
    assert standing.freedom == "frozen" and "the error budget of project shop is spent" in standing.reason
    assert (other.freedom, other.reason) == ("free", "")


async def _reason(client: CoordinatorClient, task_id: str) -> str | None:
    task = await client.get_task(task_id)
    return task.reason if task.state.ended else None


async def _succeeded(client: CoordinatorClient, task_id: str) -> bool:
    return (await client.get_task(task_id)).state is TaskState.SUCCEEDED
