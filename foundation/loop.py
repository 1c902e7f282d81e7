"""An asyncio loop in a thread of its own, so that code without a loop can use the clients."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Generic, TypeVar, overload

from foundation.errors import Cancelled, QuantumError, TimedOut, Unavailable
from foundation.quantities import format_duration

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines on one loop in one daemon thread; every method may be called from any other thread."""

    def __init__(self, name: str = "background-loop") -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: timedelta) -> T:
        """Runs one coroutine to its end and returns what it returns or raises what it raises.

        Raises TimedOut after `timeout`, Unavailable when the loop is closed. A coroutine that is not waited
        for any more, also because the waiting thread was interrupted, is cancelled.
        """
        future = self._submit(work)
        try:
            return future.result(timeout.total_seconds())
        except concurrent.futures.TimeoutError:
            if future.done():  # the coroutine itself raised TimeoutError: that is its own answer
                raise
            raise TimedOut("no_answer_in_time", f"There was no answer within {format_duration(timeout)}.") from None
        except concurrent.futures.CancelledError:
            raise self._cancelled() from None
        finally:
            future.cancel()

    @overload
    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]: ...

    @overload
    def iterate(self, items: AsyncIterator[T], *, tick: timedelta) -> Iterator[T | None]: ...

    def iterate(self, items: AsyncIterator[T], *, tick: timedelta | None = None) -> Iterator[T | None]:
        """Yields what an asynchronous iterator yields, one at a time; closing this closes the iterator.

        With `tick`, yields None whenever that long has passed without an item, so that the caller can look
        up: send a sign of life, notice that it should end. Never loses an item to a tick. Raises what the
        iterator raises, and Unavailable when the loop is closed.
        """
        walk = _Walk(items)
        try:
            while True:
                item = yield from self._next(walk, tick)
                if item is _End.END:
                    return
                yield item
        finally:
            self._leave(walk)

    def close(self) -> None:
        """Cancels what still runs, waits until it has ended, ends the thread; a second call does nothing."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> BackgroundLoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        # Under the lock, so that nothing is handed in behind the back of a loop that is being stopped: it
        # would never run, and its caller would wait for ever.
        with self._lock:
            if not self._closing and threading.current_thread() is not self._thread:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        if self._closing:
            raise self._cancelled()
        raise RuntimeError("work handed to a loop from its own thread would wait for itself")

    def _next(self, walk: _Walk[T], tick: timedelta | None) -> Generator[None, None, T | _End]:
        """Waits for the next item, yielding None at each tick; the item is the generator's result."""
        future = self._submit(walk.next())
        while True:
            done, _ = concurrent.futures.wait([future], None if tick is None else tick.total_seconds())
            if done:
                break
            yield None
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise self._cancelled() from None

    def _leave(self, walk: _Walk[Any]) -> None:
        try:
            self._submit(walk.close()).result()
        except (Unavailable, concurrent.futures.CancelledError):
            if not self._closing:  # a loop that is being closed closes every iterator by itself
                raise

    def _cancelled(self) -> QuantumError:
        if self._closing:
            return Unavailable("shutting_down", "This process is shutting down.")
        return Cancelled("cancelled", "The work was cancelled.")

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            while tasks := asyncio.all_tasks(self._loop):
                for task in tasks:
                    task.cancel()
                self._loop.run_until_complete(asyncio.wait(tasks))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


class _End(Enum):
    """Stands behind the last item; an enum, because mypy can tell its one member from an item."""

    END = auto()


class _Walk(Generic[T]):
    """One walk along an asynchronous iterator; its methods run on the loop."""

    def __init__(self, items: AsyncIterator[T]) -> None:
        self._items = items
        self._step: asyncio.Task[Any] | None = None

    async def next(self) -> T | _End:
        self._step = asyncio.current_task()
        return await anext(self._items, _End.END)

    async def close(self) -> None:
        """Ends the step under way and waits for it: a generator that is still running cannot be closed."""
        if self._step is not None and not self._step.done():
            self._step.cancel()
            await asyncio.wait([self._step])
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()
