"""The breakers' verbs as people use them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from foundation.errors import Invalid, NotFound
from services.safety.domain.breaker import StateName
from tests.safety.world import SUCCESS, World, wants


async def test_list_shows_state_and_history_newest_first() -> None:
    world = await World.start()
    await world.fail(3)
    await world.run_once(SUCCESS, "fine")
    views = await world.breakers.list(not_closed=False)
    assert [view.breaker.scope for view in views] == ["agent:build", "agent:fine", "fleet"]
    assert [view.breaker.scope for view in await world.breakers.list(not_closed=True)] == ["agent:build"]
    await world.breakers.reset("agent:build", reason="fixed", actor="ann")
    history = (await world.breakers.list(not_closed=False))[0].history
    assert [(line.after, line.actor) for line in history] == [(StateName.CLOSED, "ann"), (StateName.OPEN, "")]


async def test_forced_open_survives_restarts_and_ends_with_reset() -> None:
    world = await World.start()
    await world.breakers.force_open("agent:build", reason="looking", actor="ann")
    world.clock.advance(timedelta(days=400))
    await world.crash()
    (decision,) = (await world.admission.admit((), [wants("a")])).decisions
    assert decision.foremost.reason == "agent build is held by its breaker: ann forced it open (looking)"
    await world.breakers.reset("agent:build", reason="", actor="ann")
    assert await world.ask(wants("a")) == [True]


async def test_forced_closed_lets_a_failing_agent_through_for_its_time() -> None:
    world = await World.start()
    await world.fail(3)
    await world.breakers.force_closed("agent:build", lasting=timedelta(hours=1), reason="", actor="ann")
    await world.fail(9)
    assert await world.ask(wants("a")) == [True]
    await world.crash()
    world.clock.advance(timedelta(hours=1))
    await world.fail(3)
    assert await world.ask(wants("b")) == [False]


@pytest.mark.parametrize("lasting", [None, timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)])
async def test_forced_closed_needs_a_time(lasting: timedelta | None) -> None:
    world = await World.start()
    with pytest.raises(Invalid):
        await world.breakers.force_closed("agent:build", lasting=lasting, reason="", actor="ann")


@pytest.mark.parametrize("scope", ["", "build", "agent:", "agent:../x", "team:a", "fleet:x", "agent:" + "a" * 65])
async def test_what_is_no_scope_is_refused(scope: str) -> None:
    world = await World.start()
    with pytest.raises(Invalid):
        await world.breakers.force_open(scope, reason="", actor="ann")
    with pytest.raises(Invalid):
        await world.breakers.reset(scope, reason="", actor="ann")


async def test_resetting_what_never_was_names_the_nearest() -> None:
    world = await World.start()
    await world.fail(1)
    with pytest.raises(NotFound) as caught:
        await world.breakers.reset("agent:biuld", reason="", actor="ann")
    assert "agent:build" in caught.value.remedy
