"""Sends attempts' output up the stream to the readers that the coordinator names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from clients.attachment_values import AttemptRef, Follow, LogChunk
from services.agent_runner.app.held import Held
from services.agent_runner.app.outbox import Outbox
from services.agent_runner.app.reading import Reading


class Followers:
    """One small task per reader."""

    def __init__(self, reading: Reading, find: Callable[[AttemptRef], Held | None], outbox: Outbox) -> None:
        self._reading = reading
        self._find = find
        self._outbox = outbox
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def order(self, order: Follow) -> None:
        """A reader comes or goes."""
        if order.stop:
            if task := self._tasks.get(order.follow_id):
                task.cancel()
            return
        task = asyncio.create_task(self._serve(order))
        self._tasks[order.follow_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(order.follow_id, None))

    def stop_all(self) -> None:
        """The stream has broken, and its readers with it."""
        for task in self._tasks.values():
            task.cancel()

    async def _serve(self, order: Follow) -> None:
        held, offset = self._find(order.ref), order.offset
        if held is not None:
            async for data, offset in self._reading.follow(held, order.offset, follow=order.follow):
                await self._outbox.log(LogChunk(order.follow_id, data, offset, end=False))
        await self._outbox.log(LogChunk(order.follow_id, b"", offset, end=True))
