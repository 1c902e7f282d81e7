"""Who is calling, and what they may do."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from foundation.errors import Internal, Unavailable

PUBLIC = "public"
SERVICE = "service"
ATTEMPT = "attempt"
"""What the credential of a running attempt allows, where its own verifier is asked; it cannot be issued."""
JOIN = "join"
"""What an invitation allows, and nothing else does."""
_SERVICE_PREFIX = "service:"
USER_SCOPES = frozenset({"read", "submit", "cancel", "operate", "merge", "rotate", "admin"})
SCOPES = USER_SCOPES | {"runner"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The holder of a token that was found good."""

    token_id: str
    name: str
    """What the token was issued for, like `user` or `coordinator`; for logs and the audit."""
    scopes: frozenset[str]
    runner: str = ""
    """The one runner that may use this token, over TCP, beside a certificate of its name; empty: it is not bound."""
    attempt: tuple[str, int] | None = None
    """Task and fence of the attempt whose credential this is; None: it is a token."""
    in_grace: bool = False
    """Whether safety could not be asked, so that an answer from a while ago is gone by."""


class TokenVerifier(Protocol):
    """Tells who holds a token; safety answers, clients ask it."""

    async def verify(self, token: str) -> Caller:
        """The caller behind a token; Unauthenticated when it is not good, Unavailable when none can tell."""
        ...


def allows(scopes: Set[str], needed: str) -> bool:
    """Whether a token with these scopes may do what needs `needed`.

    `public` needs no token, `service` any one scope that begins with `service:`; every other name needs
    itself, so that no scope implies another.
    """
    if needed == PUBLIC:
        return True
    if needed == SERVICE:
        return any(scope.startswith(_SERVICE_PREFIX) for scope in scopes)
    return needed in scopes


def require_asked(caller: Caller) -> None:
    """Raise Unavailable for a caller in grace: what loosens is not done on the strength of an answer that is old."""
    if caller.in_grace:
        raise Unavailable(
            "safety_unreachable",
            "Safety cannot be asked who you are, and nothing is loosened until it can.",
            remedy="`quantum status` shows what is running. Pausing, cancelling and stopping work all the same.",
        )


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
_source: ContextVar[str] = ContextVar("source", default="")
_said: ContextVar[str] = ContextVar("said", default="")
_SAID_MAX = 200


def current_caller() -> Caller:
    """Who makes the call that is being answered; raises Internal outside an authenticated call."""
    caller = _caller.get()
    if caller is None:
        raise Internal("no_caller", "This is not running inside an authenticated call.")
    return caller


def caller_or_none() -> Caller | None:
    """As `current_caller`, but None outside an authenticated call."""
    return _caller.get()


def current_source() -> str:
    """Where the call that is being answered came from, for the audit; empty when nobody said."""
    return _source.get()


@contextmanager
def calling_as(caller: Caller, *, source: str = "") -> Iterator[None]:
    """Makes `caller` the current one within the block, in this task or thread alone; `source`: where it calls from."""
    caller_token, source_token = _caller.set(caller), _source.set(source)
    try:
        yield
    finally:
        _source.reset(source_token)
        _caller.reset(caller_token)


def said_source() -> str:
    """Where this process says that its calls come from; empty when it does not."""
    return _said.get()


@contextmanager
def calling_from(source: str) -> Iterator[None]:
    """Makes calls within the block say where they come from (a route, a command), for the audit.

    Whoever holds a token could say anything here: it is told beside what the connection shows, never in its place.
    """
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in source)[:_SAID_MAX]
    token = _said.set(plain)
    try:
        yield
    finally:
        _said.reset(token)
