"""How callers' tokens are verified when safety answers, is slow, refuses, or is out of reach."""

from __future__ import annotations

import asyncio
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
        self.expires_at: datetime | None = None
        self.gate: asyncio.Event | None = None

    async def validate(self, token: str, *, deadline: timedelta) -> Validation:
        """The holder `ann`."""
        self.asked += 1
        revocation = self.revocation
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
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
    asked = door.safety.asked
    await door.scopes()
    assert door.safety.asked == asked  # not every call waits for safety anew
    door.clock.advance(timedelta(minutes=1))
    with pytest.raises(Unavailable):
        await door.scopes()
    door.safety.fault = None
    assert await door.scopes() == SCOPES


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
