"""One request, one answer, over and over on one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Generic, TypeVar, cast

import grpc.aio

from foundation.errors import QuantumError, TimedOut, Unavailable
from foundation.quantities import format_duration
from foundation.rpc.channel import translate

Q = TypeVar("Q")
A = TypeVar("A")


class Exchange(Generic[Q, A]):
    """Requests and their answers on one stream, one at a time, which takes half as long as a call for each.

    The method must say something first (before that nothing is written: a refusal that crosses a write loses its
    reason inside grpc), then answer each request once, and bear to hear one again.
    """

    def __init__(self, method: Callable[[], grpc.aio.StreamStreamCall[Q, A]]) -> None:
        self._method = method
        self._turn = asyncio.Lock()
        self._open: grpc.aio.StreamStreamCall[Q, A] | None = None

    async def ask(self, request: Q, deadline: timedelta) -> A:
        """The answer to a request; raises QuantumError, among them TimedOut after `deadline`."""
        try:
            async with asyncio.timeout(deadline.total_seconds()), self._turn:
                return await self._ask(request)
        except TimeoutError:
            raise TimedOut("no_answer_in_time", f"There was no answer within {format_duration(deadline)}.") from None

    async def _ask(self, request: Q) -> A:
        if self._open is not None:
            # It was opened for an earlier request: by now its server may be a new one, or our token.
            with suppress(QuantumError):
                return await self._on(self._open, request)
        stream = self._method()
        await self._on(stream, None)
        return await self._on(stream, request)

    async def _on(self, stream: grpc.aio.StreamStreamCall[Q, A], request: Q | None) -> A:
        """The stream's next word, after a request or of itself; a stream that fails in this is not used again."""
        self._open = None
        try:
            with translate():
                if request is not None:
                    with suppress(asyncio.InvalidStateError):  # it has ended: the read says how
                        await stream.write(request)
                answer = await stream.read()
        except BaseException:
            stream.cancel()
            raise
        if answer is grpc.aio.EOF:
            raise Unavailable("stream_ended", "The service ended the stream.")
        self._open = stream
        return cast(A, answer)
