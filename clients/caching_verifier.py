"""Verifies callers' tokens by asking safety, and remembers the good ones for a moment."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from clients.safety_values import Validation
from foundation.auth import Caller
from foundation.clock import Clock
from foundation.errors import QuantumError, TimedOut, Unauthenticated, Unavailable
from foundation.tokens import parse

FRESH_FOR = timedelta(seconds=1)
ASKED_AGAIN_AFTER_SECONDS = 60.0
"""However lively the beats, safety hears of a token's use once in that time: last uses are exact to a minute."""
_TRIES = 3
GRACE = timedelta(minutes=15)
ENTRIES_MAX = 1_000
_DEADLINE = timedelta(seconds=5)
_WITHDRAWN_IN_GRACE = frozenset({"rotate", "admin"})


class Validator(Protocol):
    """Safety, as far as a verifier needs it."""

    async def validate(self, token: str, *, deadline: timedelta) -> Validation:
        """Who holds a token; raises Unauthenticated when it is not good, Unavailable when safety cannot be asked."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    asked_at: float
    """Seconds of boot time, read *before* safety was asked: a slow answer is an old one."""
    expires_after: float
    """Seconds of boot time at which the token itself expires."""
    revocation: int
    """Safety's revocation number when it answered."""


class CachingTokenVerifier:
    """A TokenVerifier that asks safety at most once per token and second, or once a minute while it hears the beats.

    A beat says how many revocations there have been. An answer from before the newest of them is not gone by: it is
    asked for again. Good answers alone are kept, by the token's digest. With safety out of reach a token that was good
    within the last 15 minutes stays good, without the scopes `rotate` and `admin`: reading, enqueueing, cancelling,
    pausing, stopping, renewals and results go on. A refusal is passed on and forgets what was known.
    """

    def __init__(
        self,
        safety: Validator,
        clock: Clock,
        *,
        fresh_for: timedelta = FRESH_FOR,
        grace: timedelta = GRACE,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._safety = safety
        self._clock = clock
        self._fresh_seconds = fresh_for.total_seconds()
        self._grace_seconds = grace.total_seconds()
        self._entries_max = entries_max
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Caller]] = {}
        self._revocation = 0
        self._heard_at = float("-inf")
        self._out_of_reach_until = 0.0

    async def verify(self, token: str) -> Caller:
        """The caller behind a token.

        Raises Unauthenticated when safety refuses it, Unavailable when safety cannot be asked and the token was not
        good within the grace.
        """
        digest = parse(token).digest
        known = self._known.get(digest)
        now = self._clock.boottime()
        if known is not None and self._is_fresh(known, now):
            return known.caller
        if now < self._out_of_reach_until and (graced := self._graced(digest)):
            # Not every call has to find out anew that safety is away: a failing question takes its time.
            return graced
        # Calls that come in the same moment share one question.
        asking = self._asking.get(digest)
        if asking is None:
            asking = asyncio.create_task(self._ask(token, digest))
            self._asking[digest] = asking
            asking.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(asking)

    def hear(self, revocation: int) -> None:
        """Take in one beat of safety's revocation stream."""
        self._heard_at = self._clock.boottime()
        self._revocation = max(self._revocation, revocation)

    async def follow(self, watch: Callable[[], AsyncGenerator[int, None]]) -> None:
        """Hear beats for ever; while the stream is broken, answers are good for as long as without one."""
        while True:
            try:
                async with aclosing(watch()) as beats:
                    async for revocation in beats:
                        self.hear(revocation)
            except QuantumError:
                await asyncio.sleep(self._fresh_seconds)

    def _is_fresh(self, known: _Known, now: float) -> bool:
        age = now - known.asked_at
        beating = now - self._heard_at < self._fresh_seconds
        fresh = age < self._fresh_seconds or (beating and age < ASKED_AGAIN_AFTER_SECONDS)
        return fresh and known.revocation >= self._revocation and now < known.expires_after

    async def _ask(self, token: str, digest: str) -> Caller:
        for _ in range(_TRIES):
            asked_at = self._clock.boottime()
            caller, revocation = await self._ask_once(token, digest, asked_at)
            if revocation is None or revocation >= self._revocation:
                return caller
            # It was given before the newest revocation that is known here, which may be of this very token.
        raise Unavailable("safety_slow", "Safety does not answer in time who holds this token.", remedy="Try again.")

    async def _ask_once(self, token: str, digest: str, asked_at: float) -> tuple[Caller, int | None]:
        """The caller and the revocation number of the answer, None for a caller in grace."""
        try:
            answer = await self._safety.validate(token, deadline=_DEADLINE)
        except Unauthenticated:
            self._known.pop(digest, None)
            raise
        except (Unavailable, TimedOut) as error:
            self._out_of_reach_until = self._clock.boottime() + self._fresh_seconds
            if graced := self._graced(digest):
                return graced, None
            raise Unavailable(
                "safety_unreachable",
                "Safety cannot be asked who holds this token.",
                remedy="`quantum status` shows what is running.",
            ) from error
        held = answer.token
        caller = Caller(token_id=held.id, name=held.name, scopes=held.scopes, runner=held.runner)
        if answer.revocation >= self._revocation:  # an answer from before the newest revocation seen may be stale
            self._revocation = answer.revocation
            self._keep(digest, _Known(caller, asked_at, self._expiry(answer, asked_at), answer.revocation))
        return caller, answer.revocation

    def _graced(self, digest: str) -> Caller | None:
        """What is left of a caller while safety cannot be asked; None when nothing is."""
        known, now = self._known.get(digest), self._clock.boottime()
        if known is None or now - known.asked_at >= self._grace_seconds or now >= known.expires_after:
            return None
        return replace(known.caller, scopes=known.caller.scopes - _WITHDRAWN_IN_GRACE, in_grace=True)

    def _keep(self, digest: str, known: _Known) -> None:
        self._known[digest] = known
        self._known.move_to_end(digest)
        while len(self._known) > self._entries_max:
            self._known.popitem(last=False)

    def _expiry(self, answer: Validation, asked_at: float) -> float:
        expires_at = answer.token.expires_at
        if expires_at is None:
            return float("inf")
        return asked_at + (expires_at - self._clock.now()).total_seconds()
