"""The one place where tests let time pass: bounded looks at what another process does, and moments of chance."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, overload

from foundation.clock import SystemClock
from foundation.errors import QuantumError

PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.02
CLOCK = SystemClock()

T = TypeVar("T")


@overload
async def eventually(look: Callable[[], Awaitable[T | None]], what: str, *, within: float = PATIENCE_SECONDS) -> T: ...


@overload
async def eventually(look: Callable[[], T | None], what: str, *, within: float = PATIENCE_SECONDS) -> T: ...


async def eventually(look: Callable[[], Any], what: str, *, within: float = PATIENCE_SECONDS) -> Any:
    """Look again and again until there is something true, and return it; what was seen last is told on failure.

    A service that is out of reach counts as not yet.
    """
    until = CLOCK.boottime() + within
    seen: object = None
    while True:
        try:
            found = look()
            seen = await found if inspect.isawaitable(found) else found
        except QuantumError as error:
            seen = error
        else:
            if seen:
                return seen
        if CLOCK.boottime() > until:
            raise AssertionError(f"not within {within:g} s: {what}; seen last: {seen!r}")
        await asyncio.sleep(LOOK_SECONDS)


async def looks(seconds: float) -> AsyncIterator[None]:
    """Give a look every few milliseconds for a time: to see that something does *not* happen."""
    until = CLOCK.boottime() + seconds
    while CLOCK.boottime() < until:
        yield
        await asyncio.sleep(LOOK_SECONDS)


async def chance_moment(chance: random.Random, seconds_max: float) -> None:
    """Let a time pass that only chance knows."""
    await asyncio.sleep(chance.uniform(0, seconds_max))


def slowness() -> float:
    """How many times as long as its own work a process takes here and now; 1 where nothing else wants to run."""
    before, started = os.times(), CLOCK.boottime()
    for _ in range(5):
        subprocess.run([sys.executable, "-c", "import asyncio"], check=True, timeout=PATIENCE_SECONDS)
    took, after = CLOCK.boottime() - started, os.times()
    worked = after.children_user - before.children_user + after.children_system - before.children_system
    return max(1.0, took / worked)
