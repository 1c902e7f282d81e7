"""Streams a task's output: what its newest attempt left, or what it writes now."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from foundation.errors import Invalid, Unavailable
from foundation.log import get_logger
from services.coordinator.app.changes import Changes
from services.coordinator.app.dispatching import Dispatching
from services.coordinator.app.tasks import require_task
from services.coordinator.app.watch import Wake
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Store

CHUNK_BYTES = 64 * 1024
_log = get_logger("coordinator")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an attempt's output and the offset just after it. `ended` only in the last one of a followed log."""

    data: bytes
    offset: int
    ended: Task | None = None
    attempt: int = 0


class ReadLog:
    """Follows a task over its attempts; each attempt's output counts from 0."""

    def __init__(self, store: Store, changes: Changes, dispatch: Dispatching) -> None:
        self._store = store
        self._changes = changes
        self._dispatch = dispatch

    async def __call__(
        self, task_id: str, offset: int, *, follow: bool, attempt: int = 0
    ) -> AsyncGenerator[Chunk, None]:
        """Yield output from a byte offset; with `follow` until the task has ended. Raises NotFound, Invalid.

        `attempt` is the one that the offset is of, and 0 the newest: a later one is read from its start.
        """
        if offset < 0:
            raise Invalid("bad_offset", f"An offset is 0 or more, not {offset}.")
        with Wake(self._changes, frozenset({task_id})) as wake:
            while True:
                wake.rearm()
                task = await self._task(task_id)
                if attempt not in (0, task.attempt):
                    offset = 0
                attempt = task.attempt
                async with aclosing(self._attempt(task, offset, follow)) as chunks:
                    async for chunk in chunks:
                        offset = chunk.offset
                        yield replace(chunk, attempt=attempt)
                if not follow:
                    return
                if task.ended:
                    yield Chunk(b"", offset, task, attempt)
                    return
                await wake.wait()

    async def _attempt(self, task: Task, offset: int, follow: bool) -> AsyncGenerator[Chunk, None]:
        if task.state in (TaskState.RUNNING, TaskState.PAUSED):
            async with aclosing(self._live(task, offset, follow)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        if task.measured.output_cut:
            # Its runner may have more of it than the result has, for a while.
            before = offset
            try:
                async for data, after in self._dispatch.follow(task, before, False):
                    offset = after
                    yield Chunk(data, after)
            except Unavailable as error:
                _log.debug(f"More of {task.id} is out of reach: {error.message}", action="log_out_of_reach")
            if offset > before:
                return
        async for chunk in self._kept(task, offset):
            yield chunk

    async def _kept(self, task: Task, offset: int) -> AsyncGenerator[Chunk, None]:
        """What the result holds: all of the output, or its end; offsets count from the output's beginning."""
        kept = (await self._output(task.id)).encode()
        begin = max(task.measured.output_bytes - len(kept), 0) if task.measured.output_cut else 0
        if offset < begin:
            yield Chunk(f"… [{begin - offset} bytes were cut here]\n".encode(), begin)
        for start in range(max(offset - begin, 0), len(kept), CHUNK_BYTES):
            piece = kept[start : start + CHUNK_BYTES]
            yield Chunk(piece, begin + start + len(piece))

    async def _live(self, task: Task, offset: int, follow: bool) -> AsyncGenerator[Chunk, None]:
        try:
            async for data, after in self._dispatch.follow(task, offset, follow):
                yield Chunk(data, after)
        except Unavailable as error:
            if not follow:
                raise
            # Its runner is away; it comes back, or the task changes, and either wakes whoever follows.
            _log.debug(f"The output of {task.id} is out of reach: {error.message}", action="log_out_of_reach")

    async def _task(self, task_id: str) -> Task:
        return await self._store.read(lambda tx: require_task(tx, task_id))

    async def _output(self, task_id: str) -> str:
        return await self._store.read(lambda tx: tx.output(task_id))
