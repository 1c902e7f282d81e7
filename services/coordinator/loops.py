"""What the coordinator does by itself, again and again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from foundation.clock import Clock
from foundation.errors import QuantumError
from foundation.log import get_logger
from services.coordinator.adapters.catalogue_files import FileCatalogue
from services.coordinator.adapters.exports import ExportFile, size_of
from services.coordinator.app.agents import Agents
from services.coordinator.app.changes import Changes
from services.coordinator.app.due import Due
from services.coordinator.app.export import Document, agents_document, queue_document
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Store

# The clock may be set and the machine may sleep, so nobody trusts a longer wait than this.
WAIT_SECONDS_MAX = 5.0
# What the audit log is to hear of waits no longer; looking where nothing waits is one read of an empty table.
TELL_ACTS_SECONDS = 1.0
RETENTION_INTERVAL = timedelta(minutes=1)
# Breakers and limits change without a task changing.
AGENTS_INTERVAL_SECONDS = 5.0
# The queue's file is for people's eyes: while tasks end by the thousand, it gets a fiftieth of the time.
QUEUE_REST = 50
QUEUE_REST_SECONDS_MAX = 5.0

_log = get_logger("coordinator")


async def every(pause: float | Callable[[], float], work: Callable[[], Awaitable[object]], *, name: str) -> None:
    """Do `work` for ever with a pause in seconds after each; an error of ours is logged and does not end it."""
    while True:
        try:
            await work()
        except QuantumError as error:
            _log.error(f"The loop {name} failed and goes on: {error}", action="loop_failed", loop=name)
        await asyncio.sleep(pause() if callable(pause) else pause)


async def scan(catalogue: FileCatalogue, on_change: Callable[[], None]) -> None:
    """Look at the agents' files, away from the loop that answers calls."""
    if await asyncio.to_thread(catalogue.scan):
        on_change()


class DueLoop:
    """Sleeps until the next scheduled task is due, or until one is scheduled earlier."""

    def __init__(self, due: Due, changes: Changes, *, clock: Clock) -> None:
        self._due = due
        self._clock = clock
        self._wake = asyncio.Event()
        changes.subscribe(self._hear)

    def _hear(self, tasks: Sequence[Task]) -> None:
        if any(task.state is TaskState.SCHEDULED for task in tasks):
            self._wake.set()

    async def step(self) -> None:
        """Release what is due, then wait for the next."""
        self._wake.clear()
        next_due = await self._due.release()
        wait = WAIT_SECONDS_MAX
        if next_due is not None:
            wait = min(wait, max(0.0, (next_due - self._clock.now()).total_seconds()))
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            return


class Exports:
    """Keeps `task_queue.json` and `agent_status.json` true. A step does next to nothing while nothing changes."""

    def __init__(
        self,
        store: Store,
        agents: Agents,
        changes: Changes,
        *,
        queue_file: ExportFile,
        agents_file: ExportFile,
        open_max: int,
        ended_max: int,
        bytes_max: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._agents = agents
        self._queue_file = queue_file
        self._agents_file = agents_file
        self._open_max = open_max
        self._ended_max = ended_max
        self._bytes_max = bytes_max
        self._clock = clock
        self._changed = True
        self._queue_due = 0.0
        self._agents_due = 0.0
        changes.subscribe(self._hear)

    def _hear(self, tasks: Sequence[Task]) -> None:
        self._changed = True

    def touch(self) -> None:
        """Something beside the tasks has changed."""
        self._changed = True

    async def step(self) -> None:
        """Write what has changed, and again what somebody else has written over."""
        now, boottime = self._clock.now(), self._clock.boottime()
        # First, because what follows may wait for safety.
        self._queue_file.restore(now=now)
        self._agents_file.restore(now=now)
        changed = self._changed and boottime >= self._queue_due
        if changed:
            self._changed = False
            self._queue_file.put(await self._queue_document(), now=now)
            took = self._clock.boottime() - boottime
            self._queue_due = boottime + min(took * QUEUE_REST, QUEUE_REST_SECONDS_MAX)
        if changed or boottime >= self._agents_due:
            self._agents_due = boottime + AGENTS_INTERVAL_SECONDS
            self._agents_file.put(agents_document(await self._agents.list()), now=now)

    async def _queue_document(self) -> Document:
        """As many tasks as there is room for: the counts are of all in any case."""
        most = max(self._open_max, self._ended_max)
        while True:
            open_max, ended_max = min(self._open_max, most), min(self._ended_max, most)
            document = await queue_document(self._store, open_max=open_max, ended_max=ended_max)
            if not most or size_of(document) <= self._bytes_max:
                return document
            most //= 2
