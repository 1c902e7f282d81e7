"""Reads a server's stream over breaks: what stops is asked for again from the last position."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar

import grpc.aio

from clients.calling import listen
from foundation.errors import Cancelled, QuantumError, Unavailable

Q = TypeVar("Q")
A = TypeVar("A")

Told = Callable[[QuantumError | None], Awaitable[None]]
"""Hears the error when a stream breaks, once until it goes on, and None when something has come again."""

PATIENCE = timedelta(seconds=60)
"""How long a broken stream is asked for again when nobody says otherwise."""
_PAUSE_SECONDS_MIN = 0.05
_PAUSE_SECONDS_MAX = 2.0


async def resuming(
    open_call: Callable[[], grpc.aio.UnaryStreamCall[Q, A]], *, patience: timedelta, told: Told | None = None
) -> AsyncGenerator[A, None]:
    """Yields the messages of a stream, and opens it again whenever it breaks or ends, until closed.

    `open_call` asks from the position that the caller has seen. Raises Unavailable once nothing could be had
    for `patience`; every other error passes at once.
    """
    loop = asyncio.get_running_loop()
    pause, heard_at, away = _PAUSE_SECONDS_MIN, loop.time(), False
    while True:
        broken: QuantumError = Unavailable("stream_ended", "The server ended the stream.")
        try:
            async with aclosing(listen(open_call())) as messages:
                async for message in messages:
                    if away and told is not None:
                        await told(None)
                    away = False
                    yield message
                    pause, heard_at = _PAUSE_SECONDS_MIN, loop.time()
        except (Unavailable, Cancelled) as error:  # a server that goes away ends its streams with either
            broken = error
        if loop.time() + pause - heard_at > patience.total_seconds():
            raise broken
        if not away and told is not None:
            await told(broken)
        away = True
        await asyncio.sleep(pause)
        pause = min(pause * 2, _PAUSE_SECONDS_MAX)
