"""Carries work to database threads and outcomes back, with one wake-up per event loop and batch."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

import apsw

from foundation.errors import Exhausted, QuantumError, Unavailable

Work = Callable[[apsw.Connection], Any]
# None stands for an asker that is a plain thread waiting on a concurrent.futures.Future.
Loop = asyncio.AbstractEventLoop | None
AnyFuture = asyncio.Future[Any] | concurrent.futures.Future[Any]


class Job:
    """One piece of work, who waits for it, and what came of it."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Work, future: AnyFuture, loop: Loop) -> None:
        self.work = work
        self.future = future
        self.loop = loop
        self.result: Any = None
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """Record `error`; a future refuses StopIteration, which would leave its asker waiting for ever."""
        self.error = RuntimeError("the work raised StopIteration") if isinstance(error, StopIteration) else error


class JobQueue:
    """Takes work from any thread or event loop; refuses it once closed."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False

    def ask(self, work: Work) -> asyncio.Future[Any]:
        """Queue `work` for an asker on the running event loop; raises Unavailable once closed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._put(Job(work, future, loop))
        return future

    def ask_sync(self, work: Work) -> concurrent.futures.Future[Any]:
        """Queue `work` for an asker that is a plain thread; raises Unavailable once closed."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._put(Job(work, future, None))
        return future

    def take(self) -> Job | None:
        """Wait for one job; None once closed and empty."""
        return self._jobs.get()

    def take_waiting(self, most: int) -> list[Job] | None:
        """Wait for a job, then take those waiting behind it, `most` in all; None once closed and empty.

        For a lone taker: with several, one could wait here for a job that another took.
        """
        first = self._jobs.get()
        if first is None:
            return None
        jobs = [first]
        for _ in range(min(self._jobs.qsize(), most - 1)):
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                break
            jobs.append(job)
        return jobs

    def close(self, *, takers: int = 1) -> None:
        """Refuse further work; each of the `takers` ends when what was queued before is done."""
        with self._gate:
            if not self._closed:
                self._closed = True
                for _ in range(takers):
                    self._jobs.put(None)

    def _put(self, job: Job) -> None:
        # The gate keeps a job from slipping in behind the closing marks, where nobody would answer it.
        with self._gate:
            if self._closed:
                raise Unavailable("database_closed", "The database is closed.")
            self._jobs.put(job)


def deliver(jobs: Iterable[Job]) -> None:
    """Hand every job's outcome to its asker; wakes each event loop once."""
    by_loop: dict[Loop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, mine in by_loop.items():
        if loop is None:
            _settle(mine)
        elif not loop.is_closed():
            _wake(loop, mine)


def _wake(loop: asyncio.AbstractEventLoop, jobs: list[Job]) -> None:
    try:
        loop.call_soon_threadsafe(_settle, jobs)
    except RuntimeError:
        # The loop closed between the question and the call: its askers are gone with it.
        if not loop.is_closed():
            raise


def _settle(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue  # the asker was cancelled while it waited
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)


# The machine has nothing to spare (descriptors, memory), or does not let SQLite at its files: no work's own fault.
MACHINE = (
    OSError,
    MemoryError,
    apsw.NoMemError,
    apsw.CantOpenError,
    apsw.PermissionsError,
    apsw.ReadOnlyError,
    apsw.ProtocolError,
)


def in_our_words(error: BaseException) -> BaseException:
    """Translate what is said about the machine (busy, full disk, no descriptor left); all else stays as raised."""
    translated: QuantumError
    match error:
        case apsw.BusyError():
            translated = Unavailable(
                "database_busy", "Another process holds the write lock of the database.", remedy="Try again."
            )
        case apsw.FullError():
            translated = Exhausted(
                "disk_full", "The disk is full; nothing was stored.", remedy="Make room, then try again."
            )
        case _ if isinstance(error, MACHINE):
            said = f"The database cannot be used just now ({type(error).__name__}: {error}); nothing was stored."
            translated = Unavailable("database_unusable", said, remedy="Try again.")
        case _:
            return error
    translated.__cause__ = error
    return translated
