"""A runner's end of the stream to its coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import grpc.aio

from clients.attachment_convert import request_of, value_of
from clients.attachment_values import FromCoordinator, FromRunner, Hello, Welcome
from clients.calling import Client, ask
from foundation.errors import Internal, Unavailable
from foundation.rpc.channel import translate
from protos.coordinator.v1 import runners_pb2_grpc
from protos.coordinator.v1.runners_pb2 import AttachRequest, GetScriptRequest

SCRIPT_DEADLINE = timedelta(seconds=5)


class Attachment(Client):
    """One attached stream; `async with Attachment.dial(…) as attachment`. Raises QuantumError alone."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Opens the stream; it connects with the first message. The channel is closed by `close`."""
        super().__init__(channel)
        self._stub = runners_pb2_grpc.RunnerServiceStub(channel)
        self._call: Any = self._stub.Attach()

    async def open(self, hello: Hello) -> Welcome:
        """Say hello and return the coordinator's terms."""
        await self.send([hello])
        async for message in self.receive():
            if isinstance(message, Welcome):
                return message
            break
        raise Internal("no_welcome", "The coordinator did not begin with a welcome.")

    async def send(self, messages: Sequence[FromRunner]) -> None:
        """Write messages in order; returns when the stream has taken them."""
        with translate():
            for message in messages:
                for request in request_of(message):
                    await self._write(request)

    async def _write(self, request: AttachRequest) -> None:
        try:
            await self._call.write(request)
        except asyncio.InvalidStateError as error:
            # The stream ended between two writes. Only reading tells how; after a clean end it tells nothing.
            await self._call.read()
            raise Unavailable("stream_ended", "The coordinator has ended the stream.") from error

    async def receive(self) -> AsyncIterator[FromCoordinator]:
        """What the coordinator says, until the stream ends."""
        with translate():
            while (response := await self._call.read()) is not grpc.aio.EOF:
                yield value_of(response)

    async def script(self, agent: str, sha256: str, *, deadline: timedelta = SCRIPT_DEADLINE) -> bytes:
        """The text of an agent's script, beside the stream. Raises NotFound, and Stale when it has changed."""
        answer = await ask(self._stub.GetScript, GetScriptRequest(agent=agent, sha256=sha256), deadline)
        return answer.text

    async def close(self) -> None:
        """End the stream."""
        self._call.cancel()
        await super().close()
