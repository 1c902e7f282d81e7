"""Reading output: kept, live, and over attempts."""

import asyncio
from contextlib import aclosing

import pytest

from foundation.errors import Invalid, NotFound, Unavailable
from services.coordinator.app import log as module
from services.coordinator.app.log import Chunk
from services.coordinator.domain import task as moves
from services.coordinator.domain.task import NOTHING_MEASURED, TaskState
from tests.coordinator.desk import Desk


async def read(desk: Desk, task_id: str, offset: int = 0, *, follow: bool = False) -> list[Chunk]:
    return [chunk async for chunk in desk.read_log(task_id, offset, follow=follow)]


async def test_what_an_ended_task_left_is_read_in_pieces(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 4)
    [task] = await desk.add()
    ended = await desk.end(task, output="zwölf Boxer")
    assert b"".join(chunk.data for chunk in await read(desk, task.id)) == "zwölf Boxer".encode()
    assert [(chunk.data, chunk.offset) for chunk in await read(desk, task.id, 6)] == [(b" Box", 10), (b"er", 12)]
    assert await read(desk, task.id, 99) == []
    assert (await read(desk, task.id, follow=True))[-1] == Chunk(b"", 12, ended)


async def test_a_running_one_is_read_from_its_runner(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.run(task)
    desk.dispatch.output = [b"one\n", b"two\n"]
    assert await read(desk, task.id, 2) == [Chunk(b"e\n", 4), Chunk(b"two\n", 8)]
    assert desk.dispatch.followed == [(task.id, 2, False)]
    desk.dispatch.away = True
    with pytest.raises(Unavailable):
        await read(desk, task.id)


async def test_a_follower_sees_each_attempt_from_its_start_and_then_the_end(desk: Desk) -> None:
    [task] = await desk.add()
    running = await desk.run(task)
    desk.dispatch.output = [b"first\n"]
    async with aclosing(desk.read_log(task.id, 0, follow=True)) as chunks:
        assert await anext(chunks) == Chunk(b"first\n", 6)
        waiting = asyncio.ensure_future(anext(chunks))
        again = moves.again(
            running, reason="It failed.", measured=NOTHING_MEASURED, not_before=None, now=desk.clock.now()
        )
        await desk.move(running, again)
        desk.dispatch.output = [b"second\n"]
        await desk.run(task)
        assert await waiting == Chunk(b"second\n", 7)
        waiting = asyncio.ensure_future(anext(chunks))
        ended = await desk.end(task, TaskState.FAILED, output="second\n")
        assert await waiting == Chunk(b"", 7, ended)


async def test_a_follower_outlasts_a_runner_that_is_away(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.run(task)
    desk.dispatch.away = True
    async with aclosing(desk.read_log(task.id, 0, follow=True)) as chunks:
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        ended = await desk.end(task, output="it was fine")
        assert await waiting == Chunk(b"it was fine", 11)
        assert await anext(chunks) == Chunk(b"", 11, ended)


async def test_a_cancel_before_the_start_ends_the_follower(desk: Desk) -> None:
    [task] = await desk.add()
    async with aclosing(desk.read_log(task.id, 0, follow=True)) as chunks:
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        before = await desk.task(task)
        cancelled = await desk.move(before, moves.request_cancel(before, reason="no", now=desk.clock.now()))
        assert await waiting == Chunk(b"", 0, cancelled)


async def test_what_cannot_be_read_is_refused(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await read(desk, "0" * 26)
    with pytest.raises(Invalid):
        await read(desk, "0" * 26, -1)
