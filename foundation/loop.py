"""An asyncio loop in a thread of its own, so that code without a loop can use the clients."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from datetime import timedelta
from enum import Enum, auto
from typing import Any, TypeVar, overload

from foundation.errors import TimedOut, Unavailable
from foundation.quantities import format_duration

T = TypeVar("T")


class _End(Enum):
    """Stands behind the last item; an enum, because mypy can tell its one member from an item."""

    END = auto()


class BackgroundLoop:
    """Runs coroutines on one loop in one daemon thread; every method may be called from any other thread."""

    def __init__(self, name: str = "background-loop") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: timedelta) -> T:
        """Runs one coroutine to its end and returns what it returns or raises what it raises.

        Raises TimedOut after `timeout`; the coroutine is cancelled then, as it is when the waiting thread is interrupted.
        """
        future = self._submit(work)
        try:
            return future.result(timeout.total_seconds())
        except concurrent.futures.TimeoutError:
            if future.done():  # the coroutine itself raised TimeoutError: that is its own answer
                raise
            raise TimedOut("no_answer_in_time", f"There was no answer within {format_duration(timeout)}.") from None
        finally:
            future.cancel()

    @overload
    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]: ...

    @overload
    def iterate(self, items: AsyncIterator[T], *, tick: timedelta) -> Iterator[T | None]: ...

    def iterate(self, items: AsyncIterator[T], *, tick: timedelta | None = None) -> Iterator[T | None]:
        """Yields what an asynchronous iterator yields, one at a time; closing the generator closes the iterator.

        With `tick`, yields None whenever that long has passed without an item, so that the caller can look up: send a sign
        of life, notice that it should end. Never loses an item to a tick.
        """
        try:
            while True:
                item = yield from self._next(items, tick)
                if item is _End.END:
                    return
                yield item
        finally:
            self._close_iterator(items)

    def close(self) -> None:
        """Cancels what still runs, waits until it has ended, and ends the thread; a second call does nothing."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> BackgroundLoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a coroutine of this loop would wait for itself")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop is closed
            work.close()
            raise Unavailable("shutting_down", "This process is shutting down.") from None

    def _next(self, items: AsyncIterator[T], tick: timedelta | None) -> Generator[None, None, T | _End]:
        """Waits for the next item or `_End.END`, yielding None at each tick; the wanted value is the generator's result."""
        future = self._submit(_next_or_end(items))
        try:
            while True:
                done, _ = concurrent.futures.wait([future], None if tick is None else tick.total_seconds())
                if done:
                    return future.result()
                yield None
        finally:
            future.cancel()

    def _close_iterator(self, items: AsyncIterator[Any]) -> None:
        close = getattr(items, "aclose", None)
        if close is None or self._loop.is_closed():
            return
        self._submit(close()).result()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._end_everything()

    def _end_everything(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _next_or_end(items: AsyncIterator[T]) -> T | _End:
    return await anext(items, _End.END)
