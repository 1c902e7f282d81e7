"""What safety does by itself: it writes down what it still owes its store, and does what time brings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.safety.app.state import SafetyState

FLUSH_EVERY = timedelta(seconds=1)


async def flush_until(
    stop: asyncio.Event,
    state: SafetyState,
    every: timedelta = FLUSH_EVERY,
    *,
    sweeps: tuple[Callable[[], Awaitable[object]], ...] = (),
) -> None:
    """Run the sweeps and flush every so often until `stop` is set; flush once more then."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(every.total_seconds()):
                await stop.wait()
        except TimeoutError:
            for sweep in sweeps:
                await sweep()
            await state.flush()
    await state.flush()
