"""Attempts that have ended and left so much output unread that taking it in would keep everything else waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.agent_runner.app.held import Held
from services.agent_runner.app.reading import Reading
from services.agent_runner.warden.protocol import Ended


class Lateness:
    """One small task for each reads on piece by piece; then its end is told to `then`."""

    def __init__(self, reading: Reading, then: Callable[[Held, Ended], None]) -> None:
        self._reading = reading
        self._then = then
        self._under_way: set[asyncio.Task[None]] = set()

    def takes(self, held: Held, ended: Ended) -> bool:
        """Whether the end of an attempt is told later."""
        if not self._reading.is_far_behind(held, ended):
            return False
        task = asyncio.create_task(self._catch_up(held, ended))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return True

    async def _catch_up(self, held: Held, ended: Ended) -> None:
        await self._reading.catch_up(held, ended)
        self._then(held, ended)
