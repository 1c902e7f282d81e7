"""The background loop: coroutines for code that has no loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from foundation.errors import Cancelled, Conflict, TimedOut, Unavailable
from foundation.loop import BackgroundLoop
from tests.waiting import PATIENCE_SECONDS

LONG = timedelta(seconds=PATIENCE_SECONDS)
SHORT = timedelta(milliseconds=20)


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    with BackgroundLoop() as loop:
        yield loop


class Recorder:
    """An asynchronous generator that says when it has ended."""

    def __init__(self, items: int, *, then_wait: bool = False) -> None:
        self.items, self.then_wait = items, then_wait
        self.ended = threading.Event()
        self.waiting = threading.Event()

    async def stream(self) -> AsyncIterator[int]:
        try:
            for item in range(self.items):
                yield item
            if self.then_wait:
                self.waiting.set()
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # an end that takes a moment, as that of a stream on the wire does
            self.ended.set()


async def wait_for_ever(started: threading.Event, cancelled: threading.Event) -> None:
    try:
        started.set()
        await asyncio.Event().wait()
    finally:
        cancelled.set()


def test_a_coroutine_returns_or_raises_what_it_returns_or_raises(loop: BackgroundLoop) -> None:
    async def work(fail: bool) -> str:
        if fail:
            raise Conflict("clash", "It clashes.")
        return threading.current_thread().name

    assert loop.run(work(False), LONG) == "background-loop"
    with pytest.raises(Conflict):
        loop.run(work(True), LONG)


def test_a_coroutine_that_takes_too_long_is_cancelled(loop: BackgroundLoop) -> None:
    for _ in range(10):
        started, cancelled = threading.Event(), threading.Event()
        with pytest.raises(TimedOut) as caught:
            loop.run(wait_for_ever(started, cancelled), SHORT)
        assert "0.02s" in caught.value.message
        if started.is_set():  # else its time was over before it had begun
            break
    assert started.is_set() and cancelled.wait(PATIENCE_SECONDS)


def test_a_timeout_inside_the_coroutine_is_its_own_answer(loop: BackgroundLoop) -> None:
    async def work() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        loop.run(work(), LONG)


def test_a_coroutine_that_cancels_itself(loop: BackgroundLoop) -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(Cancelled):
        loop.run(work(), LONG)


def test_iterating_to_the_end(loop: BackgroundLoop) -> None:
    recorder = Recorder(3)
    assert list(loop.iterate(recorder.stream())) == [0, 1, 2]
    assert recorder.ended.is_set()


def test_leaving_early_closes_the_iterator_even_in_the_middle_of_a_step(loop: BackgroundLoop) -> None:
    recorder = Recorder(1, then_wait=True)
    seen = loop.iterate(recorder.stream(), tick=SHORT)
    assert next(item for item in seen if item is not None) == 0
    assert next(seen) is None  # a tick: the step is under way
    assert recorder.waiting.wait(PATIENCE_SECONDS)
    seen.close()  # type: ignore[attr-defined]
    assert recorder.ended.is_set()


def test_no_item_is_lost_to_a_tick(loop: BackgroundLoop) -> None:
    release = asyncio.Event()

    async def stream() -> AsyncIterator[str]:
        await release.wait()
        yield "late"

    async def let_go() -> None:
        release.set()

    seen = []
    for item in loop.iterate(stream(), tick=SHORT):
        seen.append(item)
        if seen == [None, None]:
            loop.run(let_go(), LONG)
    assert seen[:2] == [None, None]
    assert [item for item in seen if item is not None] == ["late"]


def test_an_iterator_that_raises(loop: BackgroundLoop) -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1
        raise Conflict("clash", "It clashes.")

    seen = loop.iterate(stream())
    assert next(seen) == 1
    with pytest.raises(Conflict):
        next(seen)


def test_an_iterator_without_a_close_of_its_own(loop: BackgroundLoop) -> None:
    class Two:
        left = 2

        def __aiter__(self) -> Two:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    assert list(loop.iterate(Two())) == [1, 0]


def test_closing_cancels_what_runs_and_tells_who_waits() -> None:
    loop = BackgroundLoop()
    started, cancelled = threading.Event(), threading.Event()
    recorder = Recorder(0, then_wait=True)
    caught: list[BaseException] = []

    def catching(work: object) -> None:
        try:
            assert callable(work)
            work()
        except Unavailable as error:
            caught.append(error)

    waiters = [
        threading.Thread(target=catching, args=(lambda: loop.run(wait_for_ever(started, cancelled), LONG),)),
        threading.Thread(target=catching, args=(lambda: list(loop.iterate(recorder.stream())),)),
    ]
    for waiter in waiters:
        waiter.start()
    assert started.wait(PATIENCE_SECONDS) and recorder.waiting.wait(PATIENCE_SECONDS)
    loop.close()
    loop.close()
    for waiter in waiters:
        waiter.join(PATIENCE_SECONDS)
    assert [error.code for error in caught if isinstance(error, Unavailable)] == ["shutting_down"] * 2
    assert cancelled.is_set() and recorder.ended.is_set()


def test_a_closed_loop_refuses_work() -> None:
    loop = BackgroundLoop()
    loop.close()
    with pytest.raises(Unavailable):
        loop.run(asyncio.sleep(0), LONG)


def test_work_handed_in_from_the_loop_itself_is_refused(loop: BackgroundLoop) -> None:
    async def work() -> None:
        loop.run(asyncio.sleep(0), LONG)

    with pytest.raises(RuntimeError, match="itself"):
        loop.run(work(), LONG)
