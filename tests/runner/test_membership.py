"""A runner that joined keeps its certificate and its credential young, and says when it was away too long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from clients.safety import SafetyClient
from clients.safety_values import IssuedToken, TokenView, Validation
from foundation.authority import Authority, describe, make_key
from foundation.clock import ManualClock
from foundation.errors import Internal, NotFound, Unauthenticated, Unavailable
from foundation.secrets import RUNNER_KEY, SERVICE_TOKEN, FileStore, service_account, user_account
from foundation.workspace import Workspace
from services.agent_runner.adapters.membership import Membership

WORKSPACE_KEY = "0123456789ab"
DAY = timedelta(days=1)


class PlayedSafety:
    """Signs with a real authority; rotates as safety does."""

    def __init__(self, clock: ManualClock, authority: Authority) -> None:
        self._clock = clock
        self._authority = authority
        self.said: list[str] = []
        self.away = False
        self.born: dict[str, datetime] = {"first": clock.now()}
        self.runners = self

    def _note(self, what: str) -> None:
        if self.away:
            raise Unavailable("unreachable", "It is away.")
        self.said.append(what)

    async def validate(self, token: str) -> Validation:
        self._note("validate")
        return Validation(token=self._view(token), revocation=0)

    async def renew(self, request: bytes) -> bytes:
        self._note("renew")
        return self._authority.answer(WORKSPACE_KEY, request, "runner", "attic", now=self._clock.now())

    async def rotate_token(self) -> IssuedToken:
        self._note("rotate")
        text = f"token {len(self.born)}"
        self.born[text] = self._clock.now()
        return IssuedToken(token=self._view(text), text=text)

    async def confirm_rotation(self) -> None:
        self._note("confirm")

    def _view(self, text: str) -> TokenView:
        return TokenView(
            id=text,
            name="runner attic",
            scopes=frozenset(),
            created_at=self.born[text],
            expires_at=None,
            last_used_at=None,
            revoked_at=None,
        )


class Home:
    """The runner's folder, keychain and membership."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.workspace = Workspace(folder)
        self.workspace.identity("runner").parent.mkdir(parents=True)
        self.secrets = FileStore(self.workspace.credentials)
        authority = Authority.make(WORKSPACE_KEY, now=self.clock.now())
        self.played = PlayedSafety(self.clock, authority)
        self.secrets.set(RUNNER_KEY, user_account(self.workspace), make_key().decode())
        self.secrets.set(SERVICE_TOKEN, self.account, "first")

    @property
    def account(self) -> str:
        return service_account(self.workspace, "runner")

    @property
    def safety(self) -> SafetyClient:
        return cast(SafetyClient, cast(Any, self.played))

    @property
    def token(self) -> str | None:
        return self.secrets.get(SERVICE_TOKEN, self.account)

    def membership(self) -> Membership:
        return Membership(self.workspace, "attic", self.secrets, self.clock)


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    await home.membership().renew_certificate(home.safety)
    home.played.said.clear()
    return home


async def test_a_certificate_is_due_at_half_of_its_life_and_keeps_its_key(home: Home) -> None:
    membership = home.membership()
    before = membership.identity()
    assert not membership.certificate_due()
    home.clock.advance(timedelta(days=3, hours=12))
    assert membership.certificate_due()
    await membership.renew_certificate(home.safety)
    after = membership.identity()
    assert after.key == before.key and after.certificate != before.certificate
    assert not membership.certificate_due()
    shown = describe(after.certificate)
    assert (shown.role, shown.name) == ("runner", "attic")


async def test_away_for_longer_than_the_certificate_lives(home: Home) -> None:
    home.clock.advance(7 * DAY - timedelta(seconds=1))
    assert home.membership().identity().key
    home.clock.advance(timedelta(seconds=2))
    with pytest.raises(Unauthenticated) as caught:
        home.membership().identity()
    assert caught.value.code == "away_too_long" and "quantum runner invite attic" in caught.value.remedy


async def test_a_credential_is_replaced_when_it_is_old_and_not_before(home: Home) -> None:
    membership = home.membership()
    home.clock.advance(DAY - timedelta(seconds=1))
    assert not await membership.renew_credential(home.safety, DAY)
    assert home.token == "first"
    home.clock.advance(timedelta(seconds=1))
    assert await membership.renew_credential(home.safety, DAY)
    assert home.token == "token 1"
    assert home.played.said[-3:] == ["confirm", "rotate", "confirm"], "what was cut short before is confirmed first"
    assert not await membership.renew_credential(home.safety, DAY)


async def test_a_keychain_that_does_not_keep_it_leaves_the_old_one(home: Home) -> None:
    class Forgetful(FileStore):
        def set(self, service: str, account: str, secret: str) -> None:
            super().set(service, account, "garbled" if secret == "token 1" else secret)

    home.secrets = Forgetful(home.workspace.credentials)
    home.clock.advance(DAY)
    with pytest.raises(Internal):
        await home.membership().renew_credential(home.safety, DAY)
    assert home.token == "first" and home.played.said[-1] == "rotate", "what was not kept is not confirmed"


async def test_with_safety_away_everything_stays(home: Home) -> None:
    home.played.away = True
    home.clock.advance(4 * DAY)
    before = home.membership().identity()
    calls: list[Callable[[], Any]] = [
        lambda: home.membership().renew_credential(home.safety, DAY),
        lambda: home.membership().renew_certificate(home.safety),
    ]
    for call in calls:
        with pytest.raises(Unavailable):
            await call()
    assert (home.membership().identity(), home.token) == (before, "first")


def test_without_its_key_it_says_what_to_do(home: Home) -> None:
    home.secrets.delete(RUNNER_KEY, user_account(home.workspace))
    with pytest.raises(NotFound, match="not in") as caught:
        home.membership()
    assert "quantum runner invite attic" in caught.value.remedy
