"""A restore soon after something was closed: what is only about to end, and what was let through by a person."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.safety.domain.breaker import StateName
from tests.safety.spending import Purse
from tests.safety.test_carry_over import OVERLAP, Story


@pytest.mark.parametrize("blind", [False, True], ids=["", "control: nothing is known of since"])
async def test_an_own_token_that_was_replaced_just_before_has_a_successor_that_does_not_end(blind: bool) -> None:
    """Else it would end with the overlap, and nobody replaces one that has an end already."""
    story = await Story.told()
    tokens, clock = story.purse.world.tokens, story.purse.world.clock
    successor = await tokens.rotate(story.ids["own"])
    await tokens.confirm(successor.record.id)
    clock.advance(OVERLAP / 3)
    state, done, fresh = await story.restored(blind=blind)
    assert done.replaced == ([] if blind else [story.ids["own"]])
    assert blind or "own" in done.carried[0]
    assert not story.token(state, "own").ended(clock.now()), "who calls just now goes on"
    clock.advance(OVERLAP)
    assert story.token(state, "own").ended(clock.now()) is not blind
    assert blind or state.tokens[fresh].expires_at is None


@pytest.mark.parametrize("blind", [False, True], ids=["", "control: nothing is known of since"])
async def test_a_breaker_that_was_forced_closed_and_reset_since_counts_again(blind: bool) -> None:
    async def let(purse: Purse) -> None:
        await purse.world.breakers.force_closed("agent:let", reason="go", actor="ann", lasting=timedelta(days=1))
        await purse.world.breakers.force_closed("agent:still", reason="go", actor="ann", lasting=timedelta(days=1))

    story = await Story.told(before=let)
    await story.purse.world.breakers.reset("agent:let", reason="no more", actor="bob")
    state, done, _ = await story.restored(blind=blind)
    assert state.breakers["agent:let"].state.name is (StateName.FORCED_CLOSED if blind else StateName.CLOSED)
    assert state.breakers["agent:still"].state.name is StateName.FORCED_CLOSED
    said = ["1 breaker that was forced closed then counts again: agent:let."]
    assert list(done.carried) == ([] if blind else said)
