"""Error budgets in the path of every start: who is frozen, who runs one at a time, what merges hear, what is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from foundation.auth import Caller, calling_as
from foundation.errors import Invalid, NotFound
from foundation.sqlite.database import Database
from services.safety.adapters.memory import MemoryStore
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.domain.admission import Decision
from services.safety.domain.alert import Level
from services.safety.domain.attempt import OutcomeKind
from services.safety.domain.breaker import BreakerRules
from services.safety.domain.budget import BudgetRules, Grade, MergeStanding
from services.safety.domain.budget_gate import BudgetGate
from services.safety.domain.renewal import RenewalKind
from services.safety.ports import SafetyStore
from tests.safety.world import FAILURE, NEUTRAL, SUCCESS, World, ended, key, wants

KEY = b"\x05" * 32
BREAKERS_OFF = BreakerRules(consecutive_failures=10**6, window_minimum=61, window=62)
MINUTE = timedelta(minutes=1)
FREEZING = 5
"""Failures in a row that freeze an agent which has never run before: 0.05 ** 5 is the first below one in a million."""
WELL = 90
"""Earlier successes that leave an agent a little of its budget after so many failures."""


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SafetyStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with Database.open(tmp_path / "safety.db", key=KEY, migrations=MIGRATIONS) as database:
        yield SqliteStore(database)


async def start(store: SafetyStore | None = None) -> World:
    return await World.start(store, BREAKERS_OFF, BudgetRules())


async def told(world: World, kind: OutcomeKind, times: int, agent: str = "build", **more: object) -> None:
    """So many attempts end, in one call."""
    world.numbers += times
    names = [f"{agent}-{world.numbers - number}" for number in range(times)]
    await world.tell(*(ended(name, kind, agent, **more) for name in names))  # type: ignore[arg-type]


def grade(world: World, scope: str = "agent:build") -> Grade:
    return world.state.budget_book().standing(scope).grade


async def nearly_spent(world: World, uses: tuple[str, ...] = ()) -> None:
    """An agent with between nothing and a quarter of its budget left, and the evidence that it burns."""
    await told(world, SUCCESS, WELL + 30, uses=uses)
    world.clock.advance(timedelta(hours=7))
    await told(world, FAILURE, 6, uses=uses)
    assert grade(world) is Grade.SINGLE


async def decision(world: World, task: str = "x", agent: str = "build") -> Decision:
    return (await world.admission.admit((), [wants(task, agent)])).decisions[0]


async def test_a_spent_budget_freezes_the_agent_and_no_other(store: SafetyStore) -> None:
    world = await start(store)
    await told(world, FAILURE, FREEZING - 1)
    assert await world.ask(wants("a")) == [True]
    await told(world, FAILURE, 1)
    assert await world.ask(wants("b"), wants("c", agent="other")) == [False, True]


async def test_without_the_gate_the_frozen_agent_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the test above fails with the gate taken out."""

    def nothing(self: BudgetGate, *_: object) -> Sequence[object]:
        return ()

    monkeypatch.setattr(BudgetGate, "refusals", nothing)
    with pytest.raises(AssertionError):
        await test_a_spent_budget_freezes_the_agent_and_no_other(MemoryStore())


async def test_the_refusal_says_why_until_when_and_what_to_do() -> None:
    world = await start()
    await told(world, FAILURE, FREEZING)
    refusal = (await decision(world)).foremost
    assert (refusal.scope, refusal.code) == ("agent:build", "budget")
    assert refusal.ask_again_at == world.clock.now() + timedelta(days=7)
    assert refusal.reason == (
        "agent build is frozen, its error budget is spent: 5 of 5 counted attempts failed in 7 days, 5 % of them may; "
        f"it thaws at {refusal.ask_again_at:%Y-%m-%d %H:%M} UTC, or by `quantum budget reset agent:build`"
    )
    world.clock.advance(timedelta(days=7) - MINUTE)
    assert not (await decision(world)).admitted
    world.clock.advance(MINUTE)
    assert (await decision(world)).admitted


async def test_what_says_nothing_of_the_agent_counts_nowhere() -> None:
    world = await start()
    await told(world, NEUTRAL, 50)
    assert world.budgets.list(not_normal=False) == []


async def test_an_outcome_that_is_told_again_counts_once(store: SafetyStore) -> None:
    world = await start(store)
    for _ in range(3):
        for _ in range(FREEZING):
            await world.tell(ended("x", FAILURE))
        await world.crash()
    (fleet, agent) = world.budgets.list(not_normal=False)
    assert (agent.week, fleet.week) == ((1, 1), (1, 1))


async def test_a_freeze_and_every_failure_survive_kill_9(store: SafetyStore) -> None:
    """Between any two failures safety loses its memory; nothing but the store tells it of the ones before."""
    world = await start(store)
    for _ in range(FREEZING):
        await told(world, FAILURE, 1)
        await world.crash()
    assert grade(world) is Grade.SPENT
    assert not (await decision(world)).admitted


async def test_a_success_forces_no_commit_and_is_written_with_the_next(store: SafetyStore) -> None:
    world = await start(store)
    before = (await store.load()).revision
    await told(world, SUCCESS, 1_000)
    assert (await store.load()).revision == before
    await world.crash()
    assert world.budgets.list(not_normal=False) == []
    await told(world, SUCCESS, 10, project="x")
    await world.state.flush()
    await world.crash()
    assert [(one.standing.scope, one.week) for one in world.budgets.list(not_normal=False)] == [
        ("fleet", (10, 0)),
        ("agent:build", (10, 0)),
        ("project:x", (10, 0)),
    ]


async def test_a_nearly_spent_agent_runs_one_at_a_time(store: SafetyStore) -> None:
    world = await start(store)
    await nearly_spent(world)
    assert await world.ask(wants("a"), wants("b"), wants("c", agent="other")) == [True, False, True]
    assert await world.ask(wants("a")) == [True], "the same again for the same attempt"
    await world.crash()
    assert await world.ask(wants("b"), wants("a")) == [False, True], "also after a crash"
    refusal = (await decision(world, "b")).foremost
    assert "% of its error budget left, so it runs one task at a time: it waits for task a" in refusal.reason
    epoch = world.state.epoch
    answer = await world.admission.admit([ended("a", NEUTRAL)], [wants("b")])
    assert answer.decisions[0].admitted, "whatever its end, the place is free"
    assert answer.epoch == epoch, "an epoch would recall the leases of the whole fleet each time"


async def test_the_one_place_is_renewed_with_the_lease_and_free_without() -> None:
    world = await start()
    await nearly_spent(world)
    assert await world.ask(wants("a")) == [True]
    for _ in range(5):
        world.clock.advance(timedelta(seconds=30))
        answer = await world.admission.renew([key("a")])
        assert answer.renewals[0].kind is RenewalKind.CONTINUE
        assert await world.ask(wants("b")) == [False]
    world.clock.advance(timedelta(seconds=35))
    assert await world.ask(wants("b")) == [True]


async def test_a_class_in_trouble_runs_one_at_a_time_and_is_never_frozen() -> None:
    """What several agents use: the breaker of a provider holds it, its budget slows it down."""
    world = await start()
    for agent in ("a", "b", "c", "d"):
        await told(world, FAILURE, 3, agent, uses=("cloud:x",))
    assert grade(world, "cloud:x") is Grade.SPENT
    asks = [wants(f"t-{agent}", agent, uses=("cloud:x",)) for agent in ("a", "b")]
    assert await world.ask(*asks, wants("free", "a")) == [True, False, True]


async def test_retries_are_halved_where_anything_is_in_force() -> None:
    world = await start()
    assert (await world.tell()).retries_halved == ()
    await told(world, FAILURE, FREEZING, project="p", uses=("cloud:x",))
    assert (await world.tell()).retries_halved == ("agent:build", "cloud:x", "fleet", "project:p")


async def test_merges_feed_their_project_once_and_hear_what_holds(store: SafetyStore) -> None:
    world = await start(store)
    seen = []
    for number in range(5):
        for _ in range(2):
            view = await world.budgets.record_merge("shop", f"check-{number}", bad=True)
        seen.append(view.standing)
        await world.crash()
    assert seen == [MergeStanding.FREE] * 3 + [MergeStanding.FROZEN] * 2
    assert world.budgets.merge_standing("other").standing is MergeStanding.FREE, "a merge says nothing of the fleet"
    assert world.budgets.merge_standing("shop").reason == (
        "merges are frozen: the error budget of project shop is spent; 4 of 4 attempts failed in 1 h: 33.3 times what "
        "its objective allows (limit 13.44), by chance with P = 8e-07"
    )


async def test_a_spent_fleet_freezes_every_merge_and_starts_go_on() -> None:
    world = await start()
    for agent in ("a", "b", "c", "d"):
        await told(world, FAILURE, 1, agent)
    assert grade(world, "fleet") is Grade.SPENT
    assert world.budgets.merge_standing("shop").standing is MergeStanding.FROZEN
    assert await world.ask(wants("x", "a")) == [True]


async def test_a_project_with_little_left_asks_for_approval() -> None:
    world = await start()
    for number in range(200):
        await world.budgets.record_merge("shop", f"good-{number}", bad=False)
    world.clock.advance(timedelta(hours=7))
    for number in range(5):
        view = await world.budgets.record_merge("shop", f"bad-{number}", bad=True)
    assert view.standing is MergeStanding.APPROVAL
    assert view.reason == "a merge needs approval: less than 25 % of the error budget of project shop is left"


@pytest.mark.parametrize(("project", "check"), [("", "c"), ("a/b", "c"), ("shop", ""), ("shop", "c" * 200)])
async def test_a_merge_of_nothing_is_refused(project: str, check: str) -> None:
    world = await start()
    with pytest.raises(Invalid):
        await world.budgets.record_merge(project, check, bad=True)


async def test_a_person_lets_an_agent_begin_anew_and_that_is_kept(store: SafetyStore) -> None:
    world = await start(store)
    await told(world, FAILURE, FREEZING)
    with calling_as(Caller(token_id="t1", name="ann", scopes=frozenset({"operate"}))):
        epoch = world.state.epoch
        view = await world.budgets.reset("agent:build", reason="the disk was full", actor="ann")
    assert world.state.epoch > epoch, "so that what waits asks again"
    assert (view.standing.grade, view.week, view.left) == (Grade.NORMAL, (0, 0), 1.0)
    await world.crash()
    assert await world.ask(wants("x")) == [True]
    (found,) = [one for one in world.budgets.list(not_normal=False) if one.standing.scope == "agent:build"]
    assert found.standing.forgiven is not None
    assert (found.standing.forgiven.actor, found.standing.forgiven.reason) == ("ann", "the disk was full")
    (record,) = await store.audit_before(None, 1, None)
    entry = record.entry
    assert (entry.act, entry.target, entry.actor.name, entry.reason) == (
        "budget_reset",
        "agent:build",
        "ann",
        "the disk was full",
    )
    assert (entry.before, entry.after) == ("spent, 5 of 5 failed", "normal")


async def test_a_reset_needs_a_reason_and_something_to_reset() -> None:
    world = await start()
    with pytest.raises(NotFound):
        await world.budgets.reset("agent:build", reason="why not", actor="ann")
    await told(world, FAILURE, 1)
    with pytest.raises(Invalid):
        await world.budgets.reset("agent:build", reason=" ", actor="ann")
    with pytest.raises(NotFound) as raised:
        await world.budgets.reset("agent:biuld", reason="a slip", actor="ann")
    assert raised.value.remedy == "Did you mean agent:build?"


async def test_what_comes_into_force_is_an_alert_until_it_is_over() -> None:
    world = await start()
    await told(world, FAILURE, FREEZING)
    alerts = world.state.alerts
    agent, fleet = alerts["budget:agent:build"], alerts["budget:fleet"]
    assert (agent.level, fleet.level) == (Level.WARNING, Level.CRITICAL)
    assert agent.sentence.startswith(
        "The error budget of agent build: it is spent, the agent is frozen. 5 of 5 attempts failed in 1 h: 20 times "
    )
    await told(world, FAILURE, 3)
    assert alerts["budget:agent:build"].count == 1, "what is in force already is no news"
    await world.budgets.reset("agent:build", reason="mended", actor="ann")
    assert alerts["budget:agent:build"].resolved_at is not None


async def test_old_minutes_leave_the_store(store: SafetyStore) -> None:
    world = await start(store)
    for _ in range(10):
        await told(world, FAILURE, 1, "rare")
        world.clock.advance(timedelta(days=1))
    kept = (await store.load()).budgets
    assert len([scope for scope, _ in kept.buckets if scope == "agent:rare"]) == 7


async def test_everything_of_a_standing_comes_back(store: SafetyStore) -> None:
    world = await start(store)
    await nearly_spent(world, uses=("cloud:x",))
    await world.ask(wants("a"))
    with calling_as(Caller(token_id="t1", name="ann", scopes=frozenset({"operate"}))):
        await world.budgets.reset("cloud:x", reason="new contract", actor="ann")
    before = dict(world.state.budgets.standings)
    assert before["agent:build"].permit is not None
    await world.crash()
    assert world.state.budgets.standings == before
