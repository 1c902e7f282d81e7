"""Reading output: kept, live, and over attempts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foundation.errors import Invalid, NotFound, Unavailable
from services.coordinator.app import log as module
from services.coordinator.app.attachments import FOLLOW_BUFFER_CHUNKS, Attachment, Follow, Hello
from services.coordinator.app.log import Chunk, ReadLog
from services.coordinator.domain import task as moves
from services.coordinator.domain.task import NOTHING_MEASURED, Task, TaskState
from tests.coordinator.desk import Desk
from tests.coordinator.fleet import Fleet, granted, sent, started


async def read(desk: Desk, task_id: str, offset: int = 0, *, follow: bool = False) -> list[Chunk]:
    return [replace(chunk, attempt=0) async for chunk in desk.read_log(task_id, offset, follow=follow)]


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


async def test_of_a_long_output_its_runner_is_asked_for_more(desk: Desk) -> None:
    [task] = await desk.add()
    desk.dispatch.output = [b"the beginning\n", b"the end\n"]
    await desk.end(task, output="end\n", printed=22)
    assert b"".join(chunk.data for chunk in await read(desk, task.id)) == b"the beginning\nthe end\n"
    assert await read(desk, task.id, 18) == [Chunk(b"end\n", 22)]
    assert await read(desk, task.id, 22) == []


@pytest.mark.parametrize("away", [True, False], ids=["its runner is away", "its runner has forgotten it"])
async def test_of_a_long_output_the_end_is_there_in_any_case(desk: Desk, away: bool) -> None:
    [task] = await desk.add()
    ended = await desk.end(task, output="the end\n", printed=22)
    desk.dispatch.away = away
    cut = "… [14 bytes were cut here]\n".encode()
    assert await read(desk, task.id) == [Chunk(cut, 14), Chunk(b"the end\n", 22)]
    assert await read(desk, task.id, 10) == [Chunk("… [4 bytes were cut here]\n".encode(), 14), Chunk(b"the end\n", 22)]
    assert await read(desk, task.id, 18) == [Chunk(b"end\n", 22)]
    assert (await read(desk, task.id, 22, follow=True)) == [Chunk(b"", 22, ended)]


async def test_a_slow_reader_is_caught_up_with_and_its_memory_bounded() -> None:
    """A runner that sends 100 chunks at once, whenever it is asked, to a reader that takes one at a time."""
    attachment = _attachment()
    whole = b"".join(b"%06d\n" % number for number in range(1000))
    read_so_far, asked, most = b"", 0, 0

    def send(order: Follow) -> None:
        for start in range(order.offset, min(order.offset + 700, len(whole)), 7):
            attachment.deliver(order.follow_id, whole[start : start + 7], start + 7, False)
        if order.offset + 700 >= len(whole):
            attachment.deliver(order.follow_id, b"", len(whole), True)

    pieces = attachment.follow(_task(), 0, True)
    waiting = asyncio.ensure_future(anext(pieces))
    while True:
        await asyncio.sleep(0)
        for order in await attachment.outgoing() if attachment._outgoing else ():
            if isinstance(order, Follow) and not order.stop:
                asked += 1
                send(order)
        most = max([most, *(queue.qsize() for queue in attachment._follows.values())])
        if waiting.done():
            if isinstance(waiting.exception(), StopAsyncIteration):
                break
            data, after = waiting.result()
            read_so_far += data
            assert after == len(read_so_far)
            waiting = asyncio.ensure_future(anext(pieces))
    print(f"asked {asked} times; at most {most} chunks waited")
    assert read_so_far == whole and asked > 10 and most <= FOLLOW_BUFFER_CHUNKS + 1
    assert attachment._follows == {} and attachment._lagging == set()


def _attachment() -> Attachment:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    hello = Hello(name="r", host="h", incarnation="i", slots=1, labels={}, version="0")
    return Attachment(hello=hello, attached_at=now, last_heartbeat_at=now)


def _task() -> Task:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Task(id="t", agent="a", state=TaskState.RUNNING, created_at=now, ready_at=now, fence=7)


async def test_a_follower_sees_each_attempt_from_its_start_and_then_the_end(desk: Desk) -> None:
    [task] = await desk.add()
    running = await desk.run(task)
    desk.dispatch.output = [b"first\n"]
    async with aclosing(desk.read_log(task.id, 0, follow=True)) as chunks:
        assert await anext(chunks) == Chunk(b"first\n", 6, attempt=1)
        waiting = asyncio.ensure_future(anext(chunks))
        again = moves.again(
            running, reason="It failed.", measured=NOTHING_MEASURED, not_before=None, now=desk.clock.now()
        )
        await desk.move(running, again)
        desk.dispatch.output = [b"second\n"]
        await desk.run(task)
        assert await waiting == Chunk(b"second\n", 7, attempt=2)
        waiting = asyncio.ensure_future(anext(chunks))
        ended = await desk.end(task, TaskState.FAILED, output="second\n")
        assert await waiting == Chunk(b"", 7, ended, attempt=2)


async def test_an_offset_is_of_an_attempt_and_a_later_one_is_read_from_its_start(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.run(task)
    desk.dispatch.output = [b"one\n", b"two\n"]
    for attempt, first in ((0, b"two\n"), (1, b"two\n"), (7, b"one\n")):
        chunks = [chunk async for chunk in desk.read_log(task.id, 4, follow=False, attempt=attempt)]
        assert (chunks[0].data, {chunk.attempt for chunk in chunks}) == (first, {1})


async def test_a_follower_outlasts_a_runner_that_is_away(desk: Desk) -> None:
    [task] = await desk.add()
    await desk.run(task)
    desk.dispatch.away = True
    async with aclosing(desk.read_log(task.id, 0, follow=True)) as chunks:
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        ended = await desk.end(task, output="it was fine")
        assert await waiting == Chunk(b"it was fine", 11, attempt=1)
        assert await anext(chunks) == Chunk(b"", 11, ended, attempt=1)


async def test_a_follower_goes_on_when_the_runner_is_back_though_the_task_has_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, refused = Fleet(tmp_path), asyncio.Event()
    ask = fleet.dispatch.follow

    def follow(task: Task, offset: int, follow: bool) -> AsyncIterator[tuple[bytes, int]]:
        try:
            return ask(task, offset, follow)
        except Unavailable:
            refused.set()
            raise

    monkeypatch.setattr(fleet.dispatch, "follow", follow)
    first, task = await fleet.runner(), fleet.make("a")._replace(id="01jdqk00000000000000000001")
    await fleet.store.write(lambda tx: tx.insert([task]))
    fleet.changes.announce([task])
    await fleet.round()
    [task] = granted(sent(first))
    await fleet.tell(first, started(task, fleet.now()))
    before = await fleet.task(task)
    fleet.renewal.detach(first)
    async with aclosing(ReadLog(fleet.store, fleet.changes, fleet.dispatch)(task.id, 4, follow=True)) as chunks:
        waiting = asyncio.ensure_future(anext(chunks))
        await refused.wait()
        again = await fleet.runner(held=frozenset({(task.id, task.fence)}))
        [asked] = await asyncio.wait_for(again.outgoing(), 60)
        assert isinstance(asked, Follow)
        assert (asked.task_id, asked.offset) == (task.id, 4)
        again.deliver(asked.follow_id, b"more", 8, False)
        assert await waiting == Chunk(b"more", 8, attempt=1)
    assert await fleet.task(task) == before


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
