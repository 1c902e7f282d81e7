"""The one place where tests let time pass: patient looks at what another process does, and a watch without pauses.

A test machine may stand still for half a minute, and the clock with which leases are counted goes on meanwhile.
So a wait is patient in looks and not in seconds alone, and what something took is told without the time nobody had.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, overload

from foundation.clock import SystemClock
from foundation.errors import QuantumError

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.02
LOOK_COSTS_MAX = 1.0
STALL_SECONDS = 0.25
TICK_SECONDS = 0.05
CLOCK = SystemClock()

T = TypeVar("T")


class Patience:
    """What a wait may last: each look takes from it the time since the look before, but a second at most."""

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        self._left = seconds
        self._looked_at = CLOCK.boottime()

    def spent(self) -> bool:
        """Whether it is at its end; ask once a look, after the look."""
        before, self._looked_at = self._looked_at, CLOCK.boottime()
        self._left -= min(self._looked_at - before, LOOK_COSTS_MAX)
        return self._left <= 0


class Stopwatch:
    """Seconds since it was made, without those in which this process had no turn: machine or process stood still.

    For bounds on what something takes. What the process itself computes is no pause, however long a thread of it waits.
    """

    def __init__(self) -> None:
        self._paused_before = _STALLS.seconds()
        self._started_at = CLOCK.boottime()

    @property
    def paused(self) -> float:
        """How many seconds it has left out by now."""
        return _STALLS.seconds() - self._paused_before

    @property
    def seconds(self) -> float:
        """How long it has run by now."""
        paused = self.paused
        return CLOCK.boottime() - self._started_at - paused


class _Stalls:
    """Notices when a thread that wants a turn every few hundredths of a second has had none for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticker: threading.Thread | None = None
        self._seconds = 0.0
        self._seen_at = self._worked = 0.0

    def seconds(self) -> float:
        """All pauses since the first question."""
        with self._lock:
            if self._ticker is None:
                self._seen_at, self._worked = CLOCK.boottime(), time.process_time()
                self._ticker = threading.Thread(target=self._tick, name="stalls", daemon=True)
                self._ticker.start()
            before, worked = self._seen_at, self._worked
            self._seen_at, self._worked = CLOCK.boottime(), time.process_time()
            pause = self._seen_at - before - (self._worked - worked)
            if pause > STALL_SECONDS:
                self._seconds += pause
            return self._seconds

    def _tick(self) -> None:
        for_ever = threading.Event()
        while not for_ever.wait(TICK_SECONDS):
            self.seconds()


_STALLS = _Stalls()


def until(look: Callable[[], T | None], what: str, *, within: float = PATIENCE_SECONDS) -> T:
    """Look again and again until there is something true, and return it; what was seen last is told on failure."""
    patience, pause = Patience(within), threading.Event()
    while not (seen := look()):
        assert not patience.spent(), f"not within {within:g} s: {what}; seen last: {seen!r}"
        pause.wait(LOOK_SECONDS)
    return seen


@overload
async def eventually(look: Callable[[], Awaitable[T | None]], what: str, *, within: float = PATIENCE_SECONDS) -> T: ...


@overload
async def eventually(look: Callable[[], T | None], what: str, *, within: float = PATIENCE_SECONDS) -> T: ...


async def eventually(look: Callable[[], Any], what: str, *, within: float = PATIENCE_SECONDS) -> Any:
    """Look again and again until there is something true, and return it; what was seen last is told on failure.

    A service that is out of reach counts as not yet.
    """
    patience = Patience(within)
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
        if patience.spent():
            raise AssertionError(f"not within {within:g} s: {what}; seen last: {seen!r}")
        await asyncio.sleep(LOOK_SECONDS)


async def looks(seconds: float) -> AsyncIterator[None]:
    """Give a look every few milliseconds for a time: to see that something does *not* happen."""
    watch = Stopwatch()
    while watch.seconds < seconds:
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
