"""What is to be said to the coordinator: gathers while a write is under way, and goes in one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from clients.attachment_values import (
    AttemptEvent,
    Credit,
    Events,
    FromRunner,
    Heartbeat,
    HostState,
    LogChunk,
)

_LOG_CHUNKS_MAX = 16


class Outbox:
    """Filled by anybody, emptied by the one writer of the stream."""

    def __init__(self) -> None:
        self._credit: Credit | None = None
        self._heartbeat: Heartbeat | None = None
        self._host: HostState | None = None
        self._events: list[AttemptEvent] = []
        self._log: list[LogChunk] = []
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def events(self, *events: AttemptEvent) -> None:
        """Report what happened, in order."""
        self._events += events
        self._wake.set()

    def credit(self, credit: Credit) -> None:
        """Only the newest counts."""
        self._credit = credit
        self._wake.set()

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Only the newest counts."""
        self._heartbeat = heartbeat
        self._wake.set()

    def host(self, host: HostState) -> None:
        """Only the newest counts."""
        self._host = host
        self._wake.set()

    async def log(self, chunk: LogChunk) -> None:
        """Send a piece of output, once there is room: a slow reader holds back its own follower alone."""
        await self._room.wait()
        self._log.append(chunk)
        if len(self._log) >= _LOG_CHUNKS_MAX:
            self._room.clear()
        self._wake.set()

    def clear(self) -> None:
        """The stream has broken; what matters is said anew on the next one."""
        self._take_over()

    def _take_over(self) -> None:
        self._credit = self._heartbeat = self._host = None
        self._events, self._log = [], []
        self._room.set()

    async def take(self) -> Sequence[FromRunner]:
        """Wait for something to say and return all of it."""
        await self._wake.wait()
        self._wake.clear()
        newest = (self._heartbeat, self._host, self._credit)
        messages: list[FromRunner] = [part for part in newest if part is not None]
        if self._events:
            messages.append(Events(self._events))
        messages += self._log
        self._take_over()
        return messages
