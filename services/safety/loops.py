"""What safety does by itself: it writes down what it still owes its store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from services.safety.app.state import SafetyState

FLUSH_EVERY = timedelta(seconds=1)


async def flush_until(stop: asyncio.Event, state: SafetyState, every: timedelta = FLUSH_EVERY) -> None:
    """Flush every so often until `stop` is set, and once more then."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(every.total_seconds()):
                await stop.wait()
        except TimeoutError:
            await state.flush()
    await state.flush()
