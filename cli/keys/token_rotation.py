"""Replaces tokens by new ones, in an order in which a crash at any point leaves a good one in the keychain."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from foundation.errors import Internal
from foundation.secrets import SERVICE_TOKEN, USER_TOKEN, SecretStore, service_account, user_account
from foundation.tokens import parse
from foundation.workspace import Workspace

if TYPE_CHECKING:
    from clients.safety import SafetyClient
    from clients.safety_values import TokenView
    from foundation.loop import BackgroundLoop

T = TypeVar("T")

SERVICES = ("coordinator", "safety", "runner", "gateway")
CALL_TIMEOUT = timedelta(seconds=35)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationSettings:
    """When tokens are replaced."""

    token_rotation_seconds: float
    token_overlap_seconds: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where one token lies in the keychain."""

    kind: str
    account: str
    holder: str


def places(workspace: Workspace) -> tuple[Place, ...]:
    """The tokens that are replaced by themselves: the user's and those of the services."""
    own = Place(USER_TOKEN, user_account(workspace), "user")
    return (own, *(Place(SERVICE_TOKEN, service_account(workspace, name), name) for name in SERVICES))


class Rotation:
    """To be used on one loop, for as long as it is open."""

    def __init__(self, workspace: Workspace, secrets: SecretStore, loop: BackgroundLoop) -> None:
        self._workspace = workspace
        self._secrets = secrets
        self._loop = loop

    def rotate(self, place: Place) -> TokenView | None:
        """Replace the token in a place; the one before, with the moment at which it ends, or None.

        New token → keychain → read back → confirmed by the new one. Only the last step begins the end of the old one,
        and an unconfirmed new one ends by itself. Raises QuantumError; the token in the keychain is good in any case.
        """
        text = self._text(place)
        issued = self._as(text, lambda safety: safety.rotate_token())
        self._secrets.set(place.kind, place.account, issued.text)
        if self._secrets.get(place.kind, place.account) != issued.text:
            self._secrets.set(place.kind, place.account, text)
            raise Internal(
                "keychain_unreliable", f"{self._secrets.describe} did not keep the new token; the old one stays."
            )
        return self._as(issued.text, lambda safety: safety.confirm_rotation())

    def due(self, wanted: Iterable[Place], age: timedelta, *, now: datetime) -> tuple[Place, ...]:
        """Those whose token is older than `age`. What an interrupted rotation left open is confirmed by the way."""
        own = self._text(places(self._workspace)[0])
        known = {token.id: token for token in self._as(own, lambda safety: safety.list_tokens())}
        due = []
        for place in wanted:
            text = self._text(place)
            token = known.get(parse(text).id)
            if token is None or token.created_at is None:
                continue
            if token.expires_at is not None:
                self._as(text, lambda safety: safety.confirm_rotation())
            elif now - token.created_at >= age:
                due.append(place)
        return tuple(due)

    def _text(self, place: Place) -> str:
        text = self._secrets.get(place.kind, place.account)
        if text is None:
            raise Internal("no_token", f"The token of {place.holder} is not in {self._secrets.describe}.")
        return text

    def _as(self, token: str, work: Callable[[SafetyClient], Coroutine[Any, Any, T]]) -> T:
        from clients.safety import SafetyClient

        async def ask() -> T:
            async with SafetyClient.dial(self._workspace.socket("safety"), token=lambda: token) as safety:
                return await work(safety)

        return self._loop.run(ask(), CALL_TIMEOUT)
