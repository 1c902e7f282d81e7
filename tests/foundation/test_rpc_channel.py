"""Channels carry the newest token, try idempotent calls again, come back by themselves and fail in our words."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.errors import Unauthenticated, Unavailable
from foundation.rpc.channel import open_channel, translate
from foundation.rpc.limits import CHANNEL_OPTIONS, SERVER_OPTIONS
from tests.foundation.rpc_trial import DEADLINE_SECONDS, SERVICE, Calls, Trial, calling, echo, serving, socket_folder

ANSWERS_AFTER_SECONDS = 0.5
"""More than the pause between the first two attempts to connect."""


@pytest.fixture
def socket() -> Iterator[Path]:
    with socket_folder() as folder:
        yield folder / "trial.sock"


def failing_at_first(times: int) -> tuple[Trial, list[bytes]]:
    asked: list[bytes] = []

    async def answer(request: bytes) -> bytes:
        asked.append(request)
        if len(asked) <= times:
            raise Unavailable("not_yet", "Not yet.")
        return request

    return Trial(answer=answer), asked


async def test_the_token_is_asked_for_at_each_call(socket: Path) -> None:
    tokens = itertools.chain([None, "alice/read", "bob/read"])
    async with serving(socket, Trial(answer=echo)), open_channel(socket, token=lambda: next(tokens)) as channel:
        calls = Calls(channel)
        with pytest.raises(Unauthenticated), translate():
            await calls.ask(b"hi", timeout=DEADLINE_SECONDS)
        assert await calls.ask(b"hi", timeout=DEADLINE_SECONDS) == b"alice:hi"
        assert await calls.ask(b"hi", timeout=DEADLINE_SECONDS) == b"bob:hi"


async def test_an_idempotent_call_is_tried_again(socket: Path) -> None:
    trial, asked = failing_at_first(2)
    async with serving(socket, trial), calling(socket, "alice/read", retry=(f"/{SERVICE}/Ask",)) as calls:
        assert await calls.ask(b"hi", timeout=DEADLINE_SECONDS) == b"alice:hi"
    assert len(asked) == 3


async def test_no_other_call_is_tried_again(socket: Path) -> None:
    trial, asked = failing_at_first(2)
    async with serving(socket, trial), calling(socket, "alice/read", retry=(f"/{SERVICE}/Upload",)) as calls:
        with pytest.raises(Unavailable, match="Not yet"), translate():
            await calls.ask(b"hi", timeout=DEADLINE_SECONDS)
    assert len(asked) == 1


async def test_a_server_that_is_not_there_is_unavailable_with_a_remedy(socket: Path) -> None:
    async with calling(socket, None) as calls:
        with pytest.raises(Unavailable, match="cannot be reached") as gone, translate():
            await calls.ask(b"hi", timeout=DEADLINE_SECONDS)
    assert "quantum up" in gone.value.remedy


async def test_a_channel_opened_before_its_server_waits_for_it_when_told(socket: Path) -> None:
    async with calling(socket, "alice/read") as calls:
        early = asyncio.ensure_future(calls.ask(b"hi", timeout=DEADLINE_SECONDS, wait_for_ready=True))
        await asyncio.sleep(0)
        async with serving(socket, Trial(answer=echo)):
            assert await early == b"alice:hi"
        async with serving(socket, Trial(answer=echo)):
            again = await calls.ask(b"again", timeout=DEADLINE_SECONDS, wait_for_ready=True)
            assert again == b"alice:again"


async def test_a_server_that_answers_late_is_waited_for(socket: Path) -> None:
    """As on a machine that is busy or emulated: a connection that is given up and begun anew meets the same again."""
    connections, again = 0, asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections > 1:
            again.set()
        await asyncio.wait({asyncio.ensure_future(again.wait())}, timeout=ANSWERS_AFTER_SECONDS)
        far_reader, far_writer = await asyncio.open_unix_connection(behind)
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    behind = socket.with_name("behind.sock")
    async with (
        serving(behind, Trial(answer=echo)),
        await asyncio.start_unix_server(late, socket),
        calling(socket, "alice/read") as calls,
    ):
        assert await calls.ask(b"hi", timeout=DEADLINE_SECONDS) == b"alice:hi"
    assert connections == 1


async def test_a_closed_channel_is_unavailable(socket: Path) -> None:
    async with calling(socket, "alice/read") as calls:
        pass
    with pytest.raises(Unavailable), translate():
        await calls.ask(b"hi", timeout=DEADLINE_SECONDS)


async def test_a_cancellation_passes_through() -> None:
    with pytest.raises(asyncio.CancelledError), translate():
        raise asyncio.CancelledError


def test_servers_allow_pings_at_least_as_often_as_channels_send_them() -> None:
    server, channel = dict(SERVER_OPTIONS), dict(CHANNEL_OPTIONS)
    allowed = int(server["grpc.http2.min_ping_interval_without_data_ms"])
    assert allowed < int(channel["grpc.keepalive_time_ms"])
    assert server["grpc.keepalive_permit_without_calls"] == channel["grpc.keepalive_permit_without_calls"] == 1
    assert server["grpc.so_reuseport"] == 0
