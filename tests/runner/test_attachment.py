"""A runner's end of the stream: however the coordinator ends it, the runner hears an error of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import grpc.aio
import pytest

from clients.attachment import Attachment
from clients.attachment_values import Credit, Hello
from foundation.errors import Cancelled, QuantumError, Unauthenticated, Unavailable
from protos.coordinator.v1 import runners_pb2 as pb
from protos.coordinator.v1 import runners_pb2_grpc

HELLO = Hello(name="one", host="h", incarnation="i", slots=1, labels={}, version="0")
Ends = Callable[[grpc.aio.ServicerContext[pb.AttachRequest, pb.AttachResponse]], object]


class Ending(runners_pb2_grpc.RunnerServiceServicer):
    """Welcomes the runner, then ends the stream with a status."""

    def __init__(self, status: grpc.StatusCode) -> None:
        self._status = status

    async def GetScript(self, request: pb.GetScriptRequest, context: object) -> pb.GetScriptResponse:
        raise NotImplementedError

    async def Attach(
        self,
        request_iterator: AsyncIterator[pb.AttachRequest],
        context: grpc.aio.ServicerContext[pb.AttachRequest, pb.AttachResponse],
    ) -> AsyncIterator[pb.AttachResponse]:
        await anext(request_iterator)
        yield pb.AttachResponse(welcome=pb.Welcome())
        if self._status is not grpc.StatusCode.OK:
            await context.abort(self._status, "over")


@asynccontextmanager
async def attached(status: grpc.StatusCode) -> AsyncIterator[Attachment]:
    with TemporaryDirectory() as folder:
        server = grpc.aio.server()
        runners_pb2_grpc.add_RunnerServiceServicer_to_server(Ending(status), server)
        path = Path(folder) / "s"
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            async with Attachment.dial(path, token=lambda: None) as attachment:
                await attachment.open(HELLO)
                yield attachment
        finally:
            await server.stop(None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (grpc.StatusCode.OK, Unavailable),
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.CANCELLED, Cancelled),
        (grpc.StatusCode.UNAUTHENTICATED, Unauthenticated),
    ],
)
async def test_a_write_after_the_end_says_how_it_ended(status: grpc.StatusCode, error: type[QuantumError]) -> None:
    async with attached(status) as attachment, asyncio.timeout(60):
        try:
            async for _ in attachment.receive():
                pass
        except QuantumError as said:
            assert isinstance(said, error)
        with pytest.raises(error):
            while True:
                await attachment.send([Credit(1)])
