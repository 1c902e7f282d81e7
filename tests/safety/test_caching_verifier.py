"""How callers' tokens are verified when safety answers, is slow, refuses, or is out of reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

import pytest

from clients.caching_verifier import CachingTokenVerifier
from clients.safety_values import TokenView, Validation
from foundation.clock import ManualClock
from foundation.errors import QuantumError, Unauthenticated, Unavailable
from foundation.ids import random_bytes
from foundation.tokens import mint

SCOPES = frozenset({"read", "submit", "cancel", "operate", "rotate", "admin"})
SECOND = timedelta(seconds=1)
AWAY = Unavailable("unreachable", "The service cannot be reached.")
REFUSED = Unauthenticated("token_revoked", "It was revoked.")


class FakeSafety:
    """Counts questions and answers as told."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: QuantumError | None = None
        self.revocation = 0
        self.refuse_from = 1_000_000
        """The number of the question from which on it refuses."""
        self.expires_at: datetime | None = None
        self.gate: asyncio.Event | None = None

    async def validate(self, token: str, *, deadline: timedelta) -> Validation:
        """The holder `ann`."""
        self.asked += 1
        refused = self.asked > self.refuse_from
        revocation = self.revocation
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None or refused:
            raise self.fault or REFUSED
        view = TokenView(
            id="t",
            name="ann",
            scopes=SCOPES,
            created_at=None,
            expires_at=self.expires_at,
            last_used_at=None,
            revoked_at=None,
        )
        return Validation(token=view, revocation=revocation)


class Door:
    """A verifier, what it asks, and one token."""

    def __init__(self, entries_max: int = 1000) -> None:
        self.safety, self.clock, self.text = FakeSafety(), ManualClock(), mint(random_bytes).text
        self.verifier = CachingTokenVerifier(self.safety, self.clock, entries_max=entries_max)

    async def scopes(self) -> frozenset[str]:
        return (await self.verifier.verify(self.text)).scopes


async def test_a_good_answer_is_good_for_a_second() -> None:
    door = Door()
    assert await door.scopes() == SCOPES
    door.clock.advance(SECOND * 0.99)
    await door.scopes()
    assert door.safety.asked == 1
    door.clock.advance(SECOND * 0.01)
    await door.scopes()
    assert door.safety.asked == 2


async def test_a_refusal_is_asked_each_time_and_ends_the_grace() -> None:
    door = Door()
    await door.scopes()
    door.clock.advance(SECOND)
    door.safety.fault = REFUSED
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await door.scopes()
    assert door.safety.asked == 4
    door.safety.fault = AWAY
    with pytest.raises(Unavailable):
        await door.scopes()


async def test_out_of_reach_a_token_stays_good_for_what_does_not_loosen() -> None:
    door = Door()
    await door.scopes()
    door.safety.fault = AWAY
    door.clock.advance(timedelta(minutes=14))
    assert await door.scopes() == {"read", "submit", "cancel", "operate"}
    assert (await door.verifier.verify(door.text)).in_grace
    asked = door.safety.asked
    await door.scopes()
    assert door.safety.asked == asked  # not every call waits for safety anew
    door.clock.advance(timedelta(minutes=1))
    with pytest.raises(Unavailable):
        await door.scopes()
    door.safety.fault = None
    assert await door.scopes() == SCOPES
    assert not (await door.verifier.verify(door.text)).in_grace


async def test_out_of_reach_an_unknown_token_is_not_good() -> None:
    door = Door()
    door.safety.fault = AWAY
    with pytest.raises(Unavailable):
        await door.scopes()


async def test_a_malformed_token_is_refused_without_asking() -> None:
    door = Door()
    with pytest.raises(Unauthenticated):
        await door.verifier.verify("your-token")
    assert door.safety.asked == 0


async def test_an_answer_older_than_the_newest_revocation_is_not_kept() -> None:
    door, other = Door(), mint(random_bytes).text
    door.safety.gate = asyncio.Event()
    slow = asyncio.create_task(door.verifier.verify(door.text))
    while door.safety.asked == 0:
        await asyncio.sleep(0)
    door.safety.revocation = 1
    newer = asyncio.create_task(door.verifier.verify(other))
    while door.safety.asked == 1:
        await asyncio.sleep(0)
    door.safety.gate.set()
    await newer
    await slow
    # The slow answer came from before the revocation; whichever came first, asking again must reach safety.
    door.safety.fault = REFUSED
    door.clock.advance(SECOND)
    with pytest.raises(Unauthenticated):
        await door.scopes()


async def test_calls_of_one_moment_share_one_question() -> None:
    door = Door()
    door.safety.gate = asyncio.Event()
    calls = [asyncio.create_task(door.scopes()) for _ in range(20)]
    while door.safety.asked == 0:
        await asyncio.sleep(0)
    calls[0].cancel()
    door.safety.gate.set()
    assert await asyncio.gather(*calls[1:]) == [SCOPES] * 19
    assert door.safety.asked == 1


async def test_a_token_that_expires_is_not_good_from_memory() -> None:
    door = Door()
    door.safety.expires_at = door.clock.now() + SECOND / 2
    await door.scopes()
    door.clock.advance(SECOND / 2)
    door.safety.fault = AWAY
    with pytest.raises(Unavailable):
        await door.scopes()


async def test_memory_is_bounded_and_holds_no_token() -> None:
    door = Door(entries_max=10)
    for _ in range(50):
        door.text = mint(random_bytes).text
        await door.scopes()
    known = door.verifier._known
    assert len(known) == 10
    assert "qtm_" not in repr(known)


# -- beats


async def test_while_beats_are_heard_safety_is_asked_once_a_minute() -> None:
    door = Door()
    await door.scopes()
    for _ in range(4 * 59):
        door.clock.advance(SECOND / 4)
        door.verifier.hear(0)
        await door.scopes()
    assert door.safety.asked == 1
    for _ in range(5):
        door.clock.advance(SECOND / 4)
        door.verifier.hear(0)
    await door.scopes()
    assert door.safety.asked == 2, "so that the last use is known to a minute"


async def test_when_beats_stop_an_answer_is_good_for_a_second() -> None:
    door = Door()
    await door.scopes()
    for _ in range(20):
        door.clock.advance(SECOND / 4)
        door.verifier.hear(0)
    door.clock.advance(SECOND * 0.99)
    await door.scopes()
    assert door.safety.asked == 1
    door.clock.advance(SECOND * 0.01)
    await door.scopes()
    assert door.safety.asked == 2


async def test_a_beat_with_a_revocation_ends_every_older_answer_at_once() -> None:
    door = Door()
    await door.scopes()
    door.safety.revocation, door.safety.fault = 1, REFUSED
    await door.scopes()  # nobody has told yet
    door.verifier.hear(1)
    with pytest.raises(Unauthenticated):
        await door.scopes()


async def test_an_answer_delayed_across_a_revocation_lets_nobody_in() -> None:
    """The answer is two seconds late and says that the token is good, which was true when it was given."""
    door = Door()
    door.safety.gate = asyncio.Event()
    slow = asyncio.create_task(door.verifier.verify(door.text))
    while door.safety.asked == 0:
        await asyncio.sleep(0)
    first_gate, door.safety.gate = door.safety.gate, None
    door.safety.revocation = 1  # the token is revoked: from now on safety refuses it, and the beat says so
    door.clock.advance(2 * SECOND)
    door.verifier.hear(1)
    door.safety.refuse_from = 1
    first_gate.set()
    with pytest.raises(Unauthenticated):
        await slow
    assert door.safety.asked == 2


async def test_without_the_number_the_delayed_answer_would_let_it_in() -> None:
    """The control: a verifier that does not hear the beat goes by the late answer."""
    door = Door()
    door.safety.gate = asyncio.Event()
    slow = asyncio.create_task(door.verifier.verify(door.text))
    while door.safety.asked == 0:
        await asyncio.sleep(0)
    door.safety.refuse_from = 1
    door.clock.advance(2 * SECOND)
    door.safety.gate.set()
    assert (await slow).scopes == SCOPES


async def test_following_outlives_a_broken_stream() -> None:
    door, opened = Door(), 0

    async def watch() -> AsyncGenerator[int, None]:
        nonlocal opened
        opened += 1
        yield opened
        if opened == 1:
            raise AWAY
        await asyncio.Event().wait()

    door.verifier._fresh_seconds = 0.0
    following = asyncio.create_task(door.verifier.follow(watch))
    while door.verifier._revocation < 2:
        await asyncio.sleep(0)
    following.cancel()
    assert opened == 2
