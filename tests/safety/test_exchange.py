"""Many requests on one stream: each gets its own answer, whatever becomes of the stream between them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from clients.exchange import Exchange
from foundation.errors import Denied, TimedOut, Unavailable
from foundation.rpc.channel import open_channel
from tests.waiting import eventually

SOON = timedelta(seconds=90)


class Door:
    """Answers a stream's requests with themselves; `b"go"` ends the stream, `b"hang"` is never answered."""

    def __init__(self) -> None:
        self.opened = 0
        self.heard: list[bytes] = []
        self.refuses = False

    async def answer(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self.opened += 1
        if self.refuses:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
        yield b"welcome"
        async for request in requests:
            self.heard.append(request)
            if request == b"go":
                return
            if request == b"hang":
                await asyncio.Event().wait()
            yield request

    async def serve(self, socket: Path) -> grpc.aio.Server:
        server = grpc.aio.server()
        handler: Any = grpc.stream_stream_rpc_method_handler(self.answer)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"Ask": handler}),))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        return server


@pytest.fixture
async def socket() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="qx-") as folder:
        yield Path(folder, "s")


@pytest.fixture
async def exchange(socket: Path) -> AsyncIterator[Exchange[bytes, bytes]]:
    channel = open_channel(socket, token=lambda: None)
    yield Exchange(channel.stream_stream("/t.T/Ask"))
    await channel.close()


async def test_requests_share_a_stream_and_each_hears_its_own_answer(
    socket: Path, exchange: Exchange[bytes, bytes]
) -> None:
    door = Door()
    server = await door.serve(socket)
    asked = [b"%d" % number for number in range(20)]
    assert await asyncio.gather(*(exchange.ask(one, SOON) for one in asked)) == asked
    assert (door.opened, door.heard) == (1, asked)
    await server.stop(0)


async def test_a_new_server_is_asked_again_at_once(socket: Path, exchange: Exchange[bytes, bytes]) -> None:
    for number in (b"1", b"2", b"3"):
        server = await Door().serve(socket)
        # The connection itself comes back after a moment of grpc's own.
        assert await eventually(partial(exchange.ask, number, SOON), "an answer") == number
        await server.stop(0)
    with pytest.raises(Unavailable):
        await exchange.ask(b"4", SOON)


async def test_a_stream_that_ended_meanwhile_is_replaced(socket: Path, exchange: Exchange[bytes, bytes]) -> None:
    door = Door()
    server = await door.serve(socket)
    assert await exchange.ask(b"1", SOON) == b"1"
    with pytest.raises(Unavailable):
        await exchange.ask(b"go", SOON)
    assert door.heard == [b"1", b"go", b"go"]
    assert await exchange.ask(b"2", SOON) == b"2"
    assert door.opened == 3
    await server.stop(0)


async def test_a_late_answer_is_never_taken_for_the_next_ones(socket: Path, exchange: Exchange[bytes, bytes]) -> None:
    door = Door()
    server = await door.serve(socket)
    for seconds in (0.2, 5, 60):  # a request that is late itself is not heard within its time
        with pytest.raises(TimedOut):
            await exchange.ask(b"hang", timedelta(seconds=seconds))
        if door.heard:
            break
    before = len(door.heard)
    assert before
    given_up = asyncio.create_task(exchange.ask(b"hang", SOON))
    await eventually(lambda: len(door.heard) > before, "the second request")
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert await exchange.ask(b"2", SOON) == b"2"
    await server.stop(0)


async def test_a_refusal_keeps_its_reason(socket: Path, exchange: Exchange[bytes, bytes]) -> None:
    door = Door()
    server = await door.serve(socket)
    door.refuses = True
    for _ in range(20):
        with pytest.raises(Denied, match="not you"):
            await exchange.ask(b"1", SOON)
    door.refuses = False
    assert await exchange.ask(b"2", SOON) == b"2"
    assert door.heard == [b"2"]
    await server.stop(0)
