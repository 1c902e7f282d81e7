"""Forgets ended tasks by age, number and bytes, a limited piece at a time, so that the file stays bounded."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from services.coordinator.adapters.queries import SQL, fetch
from services.coordinator.adapters.rows import stamp
from services.coordinator.domain.task import ENDED

# Bytes are looked at again after each so many deletes.
PIECE = 100
# Free pages are used again by later tasks; only a surplus goes back to the file system, a few at a time.
FREE_SHARE_MAX = 0.1
FREE_PAGES_MIN = 1_000
VACUUM_PAGES = 256
_EVER = 2**63 - 1


class Retention:
    """Deletes inside one transaction; `removed` says per (agent, state) how many tasks went."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._executemany = connection.executemany
        self.removed: Counter[tuple[str, str]] = Counter()

    def by_age(self, *, ended_before: datetime, decided_before: datetime, limit: int) -> None:
        """Those that ended before a time; `dead` and `needs_decision` have a later one."""
        self._remove("expired", stamp(ended_before), limit - self.total)
        self._remove("expired_kept", stamp(decided_before), limit - self.total)

    def by_rows(self, rows_max: int, *, limit: int) -> None:
        """The oldest of those that nobody has to decide about, while more than `rows_max` have ended."""
        ended = sum(tasks for _, state, tasks in fetch(self._connection, "counts") if state in ENDED)
        gone = sum(by for (_, state), by in self.removed.items() if state in ENDED)
        self._remove("expired", _EVER, min(ended - gone - rows_max, limit - self.total))

    def by_bytes(self, bytes_max: int, *, limit: int) -> None:
        """The oldest of those that nobody has to decide about, while more than `bytes_max` are in use."""
        while self.total < limit and used_bytes(self._connection) > bytes_max:
            if not self._remove("expired", _EVER, min(PIECE, limit - self.total)):
                break

    def keys(self, before: datetime, *, limit: int) -> None:
        """Idempotency keys that were accepted before a time."""
        self._execute(SQL["forget_keys"], (stamp(before), limit))

    def give_back(self) -> None:
        """A few of the free pages to the file system, where there are many."""
        pages, free, _ = fetch(self._connection, "pages")[0]
        if free > max(FREE_PAGES_MIN, FREE_SHARE_MAX * pages):
            self._execute(f"pragma incremental_vacuum({VACUUM_PAGES})").fetchall()

    @property
    def total(self) -> int:
        """How many tasks were deleted so far."""
        return self.removed.total()

    def _remove(self, name: str, before: int, limit: int) -> int:
        if limit <= 0:
            return 0
        old: Sequence[Any] = fetch(self._connection, name, (before, limit))
        ids = [(id_,) for id_, *_ in old]
        edges = [(parent, id_) for id_, _, _, parents in old for parent in (parents or "").split()]
        self._executemany(SQL["delete_dependency"], edges)
        for statement in ("delete_dependencies_on", "delete_output", "delete_long_params", "delete_task"):
            self._executemany(SQL[statement], ids)
        self.removed.update((agent, state) for _, agent, state, _ in old)
        return len(old)


def used_bytes(connection: apsw.Connection) -> int:
    """Bytes in use inside the file, without the pages that deletes have freed."""
    pages, free, size = fetch(connection, "pages")[0]
    return int((pages - free) * size)
