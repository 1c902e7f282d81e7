"""Invitations are good once, for one name, until they expire; a runner's credential is its own, and can be taken."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import islice

import pytest

from foundation.auth import Caller
from foundation.errors import Conflict, Denied, Exhausted, Invalid, NotFound, QuantumError, Unauthenticated
from services.safety.app.runners import SIGNED_AT_ONCE_MAX, Runners, SigningTurns
from services.safety.domain.runner_access import RUNNER_SCOPES
from tests.safety.world import World

SOON, WEEK = timedelta(minutes=15), timedelta(days=7)


class PlayedSigner:
    """Notes what it signed."""

    def __init__(self) -> None:
        self.issued: list[tuple[str, str, timedelta]] = []
        self.answered: list[tuple[bytes, str, str, timedelta]] = []

    async def issue(self, role: str, name: str, lifetime: timedelta) -> bytes:
        self.issued.append((role, name, lifetime))
        return b"identity"

    async def answer(self, request: bytes, role: str, name: str, lifetime: timedelta) -> bytes:
        self.answered.append((request, role, name, lifetime))
        return b"certificate"


class Fleet:
    """Runners over a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.signer = PlayedSigner()

    @property
    def runners(self) -> Runners:
        return Runners(self.world.state, self.world.tokens, self.signer, lifetime=WEEK)

    async def invited(self, name: str = "attic", lifetime: timedelta = SOON) -> str:
        return (await self.runners.invite(name, lifetime, replacing=False)).token.text

    async def join(self, invitation: str, name: str = "attic") -> str:
        caller = await self.world.tokens.verify(invitation)
        return (await self.runners.join(caller, name, b"request")).token.text


@pytest.fixture
async def fleet() -> Fleet:
    return Fleet(await World.start())


async def refused(work: object, kind: type[QuantumError]) -> str:
    with pytest.raises(kind) as caught:
        await work  # type: ignore[misc]
    return caught.value.code


async def test_an_invitation_makes_a_runner_and_survives_a_restart(fleet: Fleet) -> None:
    invitation = await fleet.invited()
    await fleet.world.crash()
    text = await fleet.join(invitation)
    await fleet.world.crash()
    caller = await fleet.world.tokens.verify(text)
    assert (caller.name, caller.runner, caller.scopes) == ("runner attic", "attic", RUNNER_SCOPES)
    assert fleet.signer.issued == [("join", "attic", SOON + timedelta(minutes=10))]
    assert fleet.signer.answered == [(b"request", "runner", "attic", WEEK)]
    acts = [record.entry.act for record in await fleet.world.store.audit_after(0, 100)]
    assert acts[-2:] == ["runner_invite", "runner_join"]


class SlowSigner(PlayedSigner):
    """Signs when it is let; says how many it was asked for at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.open = self.open_most = 0

    async def answer(self, request: bytes, role: str, name: str, lifetime: timedelta) -> bytes:
        self.open += 1
        self.open_most = max(self.open_most, self.open)
        try:
            await self.go.wait()
            return await super().answer(request, role, name, lifetime)
        finally:
            self.open -= 1


async def test_few_certificates_are_signed_at_a_time_and_one_for_a_runner(fleet: Fleet) -> None:
    fleet.signer = signer = SlowSigner()
    runners = fleet.runners
    callers = [Caller(token_id=name, name=name, scopes=RUNNER_SCOPES, runner=name) for name in ("a", "b", "c")]
    asked = [asyncio.create_task(runners.renew(caller, b"request")) for caller in callers for _ in range(50)]
    for refused in islice(asyncio.as_completed(asked, timeout=60), len(asked) - SIGNED_AT_ONCE_MAX):
        with pytest.raises(Exhausted) as caught:
            await refused
        assert (caught.value.code, caught.value.retry_after) == ("signing_busy", timedelta(seconds=2))
    # Whoever invites has a turn all the same, and with the others gone so has the third.
    await runners.invite("attic", SOON, replacing=False)
    signer.go.set()
    assert (await asyncio.gather(*asked, return_exceptions=True)).count(b"certificate") == SIGNED_AT_ONCE_MAX
    assert await runners.renew(callers[2], b"request") == b"certificate"
    assert (signer.open_most, [name for _, _, name, _ in signer.answered]) == (2, ["a", "b", "c"])


async def test_a_signature_that_fails_gives_its_turn_back() -> None:
    turns = SigningTurns(1)
    for _ in range(2):
        with pytest.raises(Invalid), turns.of("a"):
            raise Invalid("not_a_request", "There is no request for a certificate in that.")
    with turns.of("a"), pytest.raises(Exhausted, match="no more are at a time"), turns.of("b"):
        pass


async def test_it_is_good_once(fleet: Fleet) -> None:
    invitation = await fleet.invited()
    first, second = await asyncio.gather(fleet.join(invitation), fleet.join(invitation), return_exceptions=True)
    assert isinstance(first, str)
    assert isinstance(second, Unauthenticated) and second.code == "invitation_used"
    assert await refused(fleet.join(invitation), Unauthenticated) == "invitation_used"
    assert len([one for one in fleet.world.tokens.list() if one.name == "runner attic"]) == 1


async def test_it_is_good_until_it_expires_and_for_its_name(fleet: Fleet) -> None:
    invitation = await fleet.invited()
    assert await refused(fleet.join(invitation, "cellar"), Denied) == "other_name"
    fleet.world.clock.advance(SOON - timedelta(seconds=1))
    caller = await fleet.world.tokens.verify(invitation)
    fleet.world.clock.advance(timedelta(seconds=1))
    assert await refused(fleet.join(invitation), Unauthenticated) == "token_expired"
    # Let in just before its end, and at the end of the way just after it.
    assert await refused(fleet.runners.join(caller, "attic", b"request"), Unauthenticated) == "token_expired"


async def test_a_newer_invitation_ends_the_older_one(fleet: Fleet) -> None:
    older, newer = await fleet.invited(), await fleet.invited()
    assert await refused(fleet.join(older), Unauthenticated) == "token_revoked"
    assert await fleet.join(newer)


async def test_a_name_that_is_taken_is_replaced_only_when_asked_for(fleet: Fleet) -> None:
    first = await fleet.join(await fleet.invited())
    assert await refused(fleet.invited(), Conflict) == "runner_exists"
    again = (await fleet.runners.invite("attic", SOON, replacing=True)).token.text
    assert (await fleet.world.tokens.verify(first)).scopes, "until the new one has come, the old one goes on"
    second = await fleet.join(again)
    assert await refused(fleet.world.tokens.verify(first), Unauthenticated) == "token_revoked"
    assert (await fleet.world.tokens.verify(second)).runner == "attic"


async def test_one_that_was_away_too_long_is_invited_again_without_more(fleet: Fleet) -> None:
    first = await fleet.join(await fleet.invited())
    fleet.world.clock.advance(WEEK)
    assert await refused(fleet.world.tokens.verify(first), Unauthenticated) == "token_expired"
    assert await fleet.join(await fleet.invited())


async def test_rotation_keeps_the_binding_and_moves_the_end(fleet: Fleet) -> None:
    tokens = fleet.world.tokens
    before = await tokens.verify(await fleet.join(await fleet.invited()))
    for _ in range(9):  # nine days, with a credential that lives for seven
        fleet.world.clock.advance(timedelta(days=1))
        issued = await tokens.rotate(before.token_id)
        after = await tokens.verify(issued.text)
        await tokens.confirm(after.token_id)
        assert (after.runner, after.scopes) == (before.runner, before.scopes)
        before = after
    kept = fleet.world.state.tokens[before.token_id]
    assert kept.expires_at == fleet.world.clock.now() + WEEK


async def test_a_removed_runner_and_its_open_invitation_are_worthless(fleet: Fleet) -> None:
    text = await fleet.join(await fleet.invited())
    waiting = (await fleet.runners.invite("attic", SOON, replacing=True)).token.text
    other = await fleet.join(await fleet.invited("cellar"), "cellar")
    before = fleet.world.state.revocation
    assert len(await fleet.runners.remove("attic")) == 2
    assert fleet.world.state.revocation > before
    for gone in (text, waiting):
        assert await refused(fleet.world.tokens.verify(gone), Unauthenticated) == "token_revoked"
    assert (await fleet.world.tokens.verify(other)).scopes
    assert await refused(fleet.runners.remove("attic"), NotFound) == "no_runner"


async def test_no_name_removes_nobody(fleet: Fleet) -> None:
    user = await fleet.world.tokens.issue("ann", ["admin"], None)
    assert await refused(fleet.runners.remove(""), NotFound) == "no_runner"
    assert (await fleet.world.tokens.verify(user.text)).scopes


@pytest.mark.parametrize("name", ["", "local", "local-2", "Attic", "a/b", "-a", "a" * 49, "a\nb"])
async def test_a_name_that_no_runner_can_have_is_not_invited(fleet: Fleet, name: str) -> None:
    assert await refused(fleet.invited(name), Invalid) == "bad_name"


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=59), timedelta(days=1, seconds=1)])
async def test_an_invitation_lives_for_a_minute_to_a_day(fleet: Fleet, lifetime: timedelta) -> None:
    assert await refused(fleet.invited(lifetime=lifetime), Invalid) == "bad_lifetime"


async def test_a_certificate_is_renewed_for_the_runner_that_calls(fleet: Fleet) -> None:
    caller = await fleet.world.tokens.verify(await fleet.join(await fleet.invited()))
    assert await fleet.runners.renew(caller, b"again") == b"certificate"
    assert fleet.signer.answered[-1] == (b"again", "runner", "attic", WEEK)
    stranger = Caller(token_id="t", name="service runner", scopes=frozenset({"runner"}))
    assert await refused(fleet.runners.renew(stranger, b"again"), Denied) == "not_joined"
