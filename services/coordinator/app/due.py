"""Queues scheduled tasks when their time has come."""

from collections.abc import Sequence
from datetime import datetime

from foundation.clock import Clock
from services.coordinator.app.changes import Changes
from services.coordinator.domain.task import Task, fall_due
from services.coordinator.ports import Store, StoreTransaction

PAGE = 500


class Due:
    """Moves what is due, a page at a time."""

    def __init__(self, store: Store, changes: Changes, *, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._clock = clock

    async def release(self) -> datetime | None:
        """Queue everything that is due; return when the next one will be, None for never."""
        while True:
            next_due = await self._store.read(lambda tx: tx.next_due())
            if next_due is None or next_due > self._clock.now():
                return next_due
            self._changes.announce(await self._store.write(self._page))

    def _page(self, tx: StoreTransaction) -> Sequence[Task]:
        now = self._clock.now()
        pairs = [(task, fall_due(task, now=now)) for task in tx.due(now, limit=PAGE)]
        tx.save(pairs)
        return [after for _, after in pairs]
