"""The breakers of projects and of the fleet, and the rule that automatic trips hold at most 30 % of the agents."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from foundation.clock import ManualClock
from services.safety.app.admit import Admission
from services.safety.domain.alert import Level
from services.safety.domain.breaker import Closed, HalfOpen, Open
from services.safety.domain.mode import Mode
from services.safety.domain.roster import NOTED_EVERY, RAN_WITHIN, Place, Roster, forgotten
from tests.safety.world import FAILURE, RULES, SUCCESS, World, ended, wants

HOUR = timedelta(hours=1)
AGENTS_ALONE = replace(RULES, culprits_min=1_000)
"""Rules by which no shared breaker opens, so that only agents are held."""


async def run(world: World, agent: str, kind: str, *, project: str = "", times: int = 1) -> None:
    """So many attempts of an agent, whatever holds it: its own breaker is forced closed."""
    for _ in range(times):
        world.numbers += 1
        task = f"t{world.numbers}"
        outcome = replace(ended(task, FAILURE if kind == "fails" else SUCCESS, agent), project=project)
        await world.tell(outcome)


async def test_one_agents_failures_never_hold_the_others() -> None:
    world = await World.start(rules=replace(RULES, consecutive_failures=1_000, window_minimum=1_000))
    await run(world, "ill", "fails", project="app", times=100)
    assert isinstance(world.breaker("project:app").state, Closed)
    assert isinstance(world.breaker("fleet").state, Closed)
    assert world.breaker("project:app").failures == 20


async def test_failures_of_three_agents_hold_their_project_and_no_other() -> None:
    world = await World.start()
    for number in range(20):
        await run(world, f"well{number}", "is well", project="other")
    for agent in ("a", "b", "c", "d"):
        await run(world, agent, "is well", project="app", times=2)
    for _ in range(3):
        for agent in ("a", "b", "c", "d"):
            if isinstance(world.breaker("project:app").state, Open):
                break
            await run(world, agent, "fails", project="app")
    opened = world.breaker("project:app")
    assert isinstance(opened.state, Open)
    assert opened.reason == "12 of the last 20 attempts failed, those of 4 agents, last: exit 1"
    assert await world.ask(wants("t-app", "well1", project="app"), wants("t-other", "well1", project="other")) == [
        False,
        True,
    ]


async def test_a_window_that_is_not_full_opens_nothing_shared() -> None:
    world = await World.start(rules=replace(RULES, consecutive_failures=1_000, window_minimum=1_000))
    for number in range(19):
        await run(world, f"a{number}", "fails", project="app")
    assert isinstance(world.breaker("project:app").state, Closed)
    await run(world, "a19", "fails", project="app")
    assert world.breaker("project:app").failures == 20


async def test_a_shared_breaker_lets_one_probe_out_of_all_its_agents() -> None:
    world = await World.start(rules=replace(RULES, held_agents_min=1_000))
    for _ in range(5):
        for agent in "abcd":
            await run(world, agent, "fails")
    assert isinstance(world.breaker("fleet").state, Open)
    world.clock.advance(timedelta(hours=2))
    assert await world.ask(wants("p1", "x"), wants("p2", "y")) == [True, False]
    assert isinstance(world.breaker("fleet").state, HalfOpen)
    await world.tell(ended("p1", SUCCESS, "x"))
    assert await world.ask(wants("p2", "y")) == [True]
    await world.tell(ended("p2", SUCCESS, "y"))
    assert isinstance(world.breaker("fleet").state, Closed)


async def test_what_is_counted_in_shared_scopes_survives_a_crash() -> None:
    world = await World.start()
    await run(world, "a", "fails", project="app")
    await run(world, "b", "fails", project="app")
    before = world.breaker("project:app")
    assert before.culprits == ("b", "a")
    await world.crash()
    assert world.breaker("project:app") == before
    assert world.state.roster.keys() == {Place("a", "app"), Place("b", "app")}


async def ill(world: World, *agents: str) -> list[bool]:
    """Three failures each; says of each whether its breaker has opened."""
    for agent in agents:
        await run(world, agent, "fails", times=3)
    return [isinstance(world.breaker(f"agent:{agent}").state, Open) for agent in agents]


@pytest.mark.parametrize(("fleet", "opened"), [(4, 4), (5, 4), (10, 4), (16, 4), (17, 5), (20, 6), (40, 12)])
async def test_at_most_thirty_percent_are_held_without_a_person(fleet: int, opened: int) -> None:
    world = await World.start(rules=AGENTS_ALONE)
    agents = [f"a{number:02}" for number in range(fleet)]
    for agent in agents:
        await run(world, agent, "is well", times=2)
    assert sum(await ill(world, *agents)) == opened
    status = world.modes.get()
    assert (status.mode is Mode.GUARDED) == (opened < fleet)
    if opened < fleet:
        assert status.actor == "safety"
        assert f"would hold {opened + 1} of the {fleet} agents that ran in the last 24 hours" in status.reason


async def test_the_fleet_goes_guarded_once_and_again_after_a_person_has_looked() -> None:
    world = await World.start()
    await ill(world, "a", "b", "c", "d", "e")
    since = world.modes.get().since
    alert = world.state.alerts["mode"]
    assert alert.level is Level.CRITICAL
    world.clock.advance(HOUR)
    await run(world, "f", "fails", times=5)
    assert world.modes.get().since == since, "it was not said twice"
    assert world.state.alerts["mode"] == alert
    await world.modes.resume(reason="seen", actor="ann")
    await run(world, "e", "fails")
    assert world.modes.get().mode is Mode.GUARDED
    await world.crash()
    assert world.modes.get().mode is Mode.GUARDED


async def test_a_stricter_mode_stays() -> None:
    world = await World.start()
    await world.modes.tighten(Mode.DRAIN, reason="quiet", actor="ann")
    await ill(world, "a", "b", "c", "d", "e")
    assert (world.modes.get().mode, world.modes.get().reason) == (Mode.DRAIN, "quiet")


async def test_one_that_was_spared_is_held_as_soon_as_there_is_room() -> None:
    world = await World.start(rules=AGENTS_ALONE)
    await ill(world, "a", "b", "c", "d", "e")
    assert isinstance(world.breaker("agent:e").state, Closed)
    await world.breakers.reset("agent:a", reason="", actor="ann")
    await run(world, "e", "fails")
    assert isinstance(world.breaker("agent:e").state, Open)
    assert world.breaker("agent:e").consecutive == 4


async def test_a_provider_and_a_person_are_never_held_back() -> None:
    world = await World.start()
    await ill(world, "a", "b", "c", "d")
    await world.breakers.force_open("agent:x", reason="", actor="ann")
    assert isinstance((await ill(world, "e")) and world.breaker("agent:e").state, Closed)
    for number in range(3):
        await world.tell(ended(f"c{number}", FAILURE, "e", uses=("cloud:openai",)))
    assert isinstance(world.breaker("cloud:openai").state, Open)


async def test_agents_that_a_held_project_holds_count_as_held() -> None:
    world = await World.start()
    for number in range(32):
        await run(world, f"well{number}", "is well")
    for agent in "abcdefgh":
        await run(world, agent, "is well", project="app")
    for _ in range(3):
        for agent in "abcd":
            await run(world, agent, "fails", project="app")
    held = world.breaker("project:app")
    assert isinstance(held.state, Open), "eight of forty"
    assert await ill(world, "well0", "well1", "well2", "well3", "well4") == [True] * 4 + [False]


async def test_control_without_the_rule_everybody_is_held() -> None:
    world = await World.start(rules=replace(RULES, held_share_max=1.0))
    assert all(await ill(world, *"abcdefghij"))
    assert world.modes.get().mode is Mode.NORMAL


async def test_the_rule_is_kept_inside_one_batch() -> None:
    world = await World.start()
    batch = [ended(f"{agent}{number}", FAILURE, agent) for agent in "abcdefgh" for number in range(3)]
    await Admission.admit(world.admission, batch, ())
    assert sum(isinstance(world.breaker(f"agent:{agent}").state, Open) for agent in "abcdefgh") == 4


def test_the_roster_counts_a_day_to_within_an_hour() -> None:
    now = ManualClock().now()
    roster = Roster({Place("old", ""): now - RAN_WITHIN - HOUR, Place("a", "app"): now - NOTED_EVERY / 2})
    roster.note("a", "app", now)
    assert roster.changed == {}, "seen half an hour ago: nothing to write"
    roster.note("b", "", now)
    roster.note("a", "", now)
    assert roster.agents(now) == {"a", "b"}
    assert roster.agents(now, project="app") == {"a"}
    assert forgotten({Place("old", ""): now - RAN_WITHIN - HOUR, Place("a", "app"): now}, now) == [Place("old", "")]


def test_a_clock_that_was_set_back_is_noted_anew() -> None:
    now = ManualClock().now()
    roster = Roster({Place("a", ""): now + HOUR})
    roster.note("a", "", now)
    assert roster.changed == {Place("a", ""): now}
