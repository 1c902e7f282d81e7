"""Streams the changes of tasks, from any position, without a gap."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from foundation.errors import Invalid
from services.coordinator.app.changes import Changes
from services.coordinator.domain.task import Task
from services.coordinator.ports import Store

BATCH = 500
IDS_MAX = 1000
# The position before the first change ever. Not 0, which asks for what comes from now on: a watcher of an empty store
# that comes back with it would miss what came meanwhile.
BEGINNING = -1


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks that changed, each in its newest state; resume after `position`."""

    tasks: Sequence[Task]
    position: int


class Wake:
    """Set when one of these tasks (none: any) has changed, or its runner come back, since it was last waited for."""

    def __init__(self, changes: Changes, ids: frozenset[str] = frozenset()) -> None:
        self._ids = ids
        self._event = asyncio.Event()
        self._unsubscribe = (changes.subscribe(self._hear), changes.subscribe_to_stir(self._stir))

    def _hear(self, tasks: Sequence[Task]) -> None:
        if not self._ids or any(task.id in self._ids for task in tasks):
            self._event.set()

    def _stir(self, task_ids: frozenset[str]) -> None:
        if not self._ids or self._ids & task_ids:
            self._event.set()

    def rearm(self) -> None:
        """To be called before the read, so that what changes during the read wakes again."""
        self._event.clear()

    async def wait(self) -> None:
        await self._event.wait()

    def close(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def watch_tasks(store: Store, changes: Changes, *, after: int, ids: Sequence[str]) -> AsyncGenerator[Batch, None]:
    """Yield every change after a position, for ever; 0 begins now, with a first batch that names the position.

    A task that changed several times meanwhile comes once. Raises Invalid for a position that lies ahead, as after the
    restore of a backup: what the watcher knows is then no longer so.
    """
    if len(ids) > IDS_MAX:
        raise Invalid("too_many_ids", f"A watch names at most {IDS_MAX} tasks, not {len(ids)}.")
    wanted = frozenset(ids)
    with Wake(changes, wanted) as wake:
        present = await store.read(lambda tx: tx.position())
        if after > present or after < BEGINNING:
            raise Invalid(
                "unknown_position",
                f"Position {after} is not known here; the newest is {present}.",
                remedy="List the tasks anew and watch from 0.",
            )
        if after == 0:
            after = present
            yield Batch((), present or BEGINNING)
        after = max(after, 0)
        while True:
            wake.rearm()
            changed = await _changes(store, after)
            if changed:
                after = changed[-1].change
                shown = [task for task in changed if task.id in wanted] if wanted else changed
                if shown:
                    yield Batch(shown, after)
            if len(changed) < BATCH:
                await wake.wait()


async def _changes(store: Store, after: int) -> Sequence[Task]:
    return await store.read(lambda tx: tx.changes(after=after, limit=BATCH))
