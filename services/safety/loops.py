"""What safety does by itself: it writes down what it still owes its store, and does what time brings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from foundation.errors import QuantumError
from foundation.log import get_logger
from services.safety.app.state import SafetyState

_LOG = get_logger("safety")
FLUSH_EVERY = timedelta(seconds=1)


async def flush_until(
    stop: asyncio.Event,
    state: SafetyState,
    every: timedelta = FLUSH_EVERY,
    *,
    sweeps: tuple[Callable[[], Awaitable[object]], ...] = (),
) -> None:
    """Run the sweeps and flush every so often until `stop` is set; flush once more then.

    What cannot be written (a full disk) stays owed: safety goes on, because a stop that is in force must stay so.
    """
    works = (*sweeps, state.flush)
    failing = False
    while not stop.is_set():
        try:
            async with asyncio.timeout(every.total_seconds()):
                await stop.wait()
        except TimeoutError:
            failing = await _do(works, failing)
    await state.flush()


async def _do(works: Iterable[Callable[[], Awaitable[object]]], failing: bool) -> bool:
    """Do each; True when one of them failed, which is told once until none does."""
    try:
        for work in works:
            await work()
    except QuantumError as error:
        if not failing:
            _LOG.error(f"Safety's state is written later: {error.message}", action="flush_failed")
        return True
    return False
