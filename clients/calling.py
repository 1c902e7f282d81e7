"""What all clients have in common: a channel, and one call, one answer, one deadline."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import ClassVar, Self, TypeVar

import grpc.aio
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from foundation.errors import TimedOut
from foundation.rpc.channel import Target, TokenSource, open_channel, translate

Q = TypeVar("Q")
A = TypeVar("A")

DEADLINE = timedelta(seconds=30)
"""How long a client waits for an answer when nobody says otherwise."""


class Client:
    """Speaks to one service over a channel of its own; to be made and used inside one running loop."""

    sent_again: ClassVar[tuple[str, ...]] = ()
    """The methods that grpc may send again by itself, when the service was not reached."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel is closed by `close`."""
        self._channel = channel

    @classmethod
    def dial(cls, target: Target, *, token: TokenSource) -> Self:
        """A client of the service at a socket or `host:port`; it connects with the first call."""
        return cls(open_channel(target, token=token, retry=cls.sent_again))

    async def close(self) -> None:
        """End what is under way and close the channel."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def ask(method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q, deadline: timedelta) -> A:
    """The answer to a request; raises QuantumError, among them TimedOut after `deadline`."""
    with translate():
        return await method(request, timeout=deadline.total_seconds())


@contextmanager
def going_on() -> Iterator[None]:
    """Says of a bulk act that outlasts its deadline that it goes on; what it raises is still TimedOut."""
    try:
        yield
    except TimedOut as error:
        raise TimedOut(
            error.code,
            "This takes longer than was waited for; the coordinator goes on with it to its end.",
            remedy="`quantum queue stats` shows how far it is; logs/system.log then says how many there were.",
            retry_after=error.retry_after,
        ) from error


async def listen(call: grpc.aio.UnaryStreamCall[Q, A]) -> AsyncGenerator[A, None]:
    """The messages of a stream; closing the generator ends the call. Raises QuantumError."""
    try:
        with translate():
            async for message in call:
                yield message
    finally:
        call.cancel()


def repeatable(files: Iterable[FileDescriptor]) -> tuple[str, ...]:
    """The full paths of the methods that their contract marks as free of side effects."""
    return tuple(
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
        if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    )
