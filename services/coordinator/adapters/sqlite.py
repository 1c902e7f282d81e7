"""The coordinator's store on encrypted SQLite."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

import apsw

from foundation.sqlite.database import Database
from services.coordinator.adapters.queries import SQL, fetch
from services.coordinator.adapters.sqlite_merges import SqliteMerges
from services.coordinator.adapters.sqlite_records import SqliteRecords
from services.coordinator.adapters.sqlite_retention import Retention, used_bytes
from services.coordinator.adapters.sqlite_schedules import SqliteSchedules
from services.coordinator.adapters.sqlite_tasks import SqliteTasks
from services.coordinator.ports import StoreTransaction

T = TypeVar("T")

MIGRATIONS = Path(__file__).with_name("migrations")


class SqliteTransaction(SqliteTasks, SqliteRecords, SqliteMerges, SqliteSchedules):
    """One work's view of the database; `finish` must be the last thing done with it."""

    def __init__(self, connection: apsw.Connection) -> None:
        SqliteTasks.__init__(self, connection)
        SqliteRecords.__init__(self, connection)
        SqliteMerges.__init__(self, connection)
        SqliteSchedules.__init__(self, connection)

    def prune(
        self,
        *,
        ended_before: datetime,
        decided_before: datetime,
        rows_max: int,
        bytes_max: int,
        keys_before: datetime,
        limit: int,
    ) -> int:
        self.finish()
        retention = Retention(self._connection)
        retention.keys(keys_before, limit=limit)
        retention.by_age(ended_before=ended_before, decided_before=decided_before, limit=limit)
        retention.by_rows(rows_max, limit=limit)
        retention.by_bytes(bytes_max, limit=limit)
        self._counted.subtract(retention.removed)
        retention.give_back()
        return retention.total

    def size_bytes(self) -> int:
        return used_bytes(self._connection)


class SqliteStore:
    """Works run one after another in the database's writer thread; those that wait together share a commit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path, *, key: bytes, readers: int = 1) -> Self:
        """Open the database, creating it where there is none, and bring its schema up to date.

        `key` is 32 bytes. Raises Invalid for a key that does not fit, Internal for a schema newer than the code.
        """
        return cls(Database.open(path, key=key, migrations=MIGRATIONS, readers=readers))

    async def write(self, work: Callable[[StoreTransaction], T]) -> T:
        def run(connection: apsw.Connection) -> T:
            transaction = SqliteTransaction(connection)
            result = work(transaction)
            transaction.finish()
            return result

        return await self._database.write(run)

    async def read(self, work: Callable[[StoreTransaction], T]) -> T:
        return await self._database.read(lambda connection: work(SqliteTransaction(connection)))

    async def check(self) -> Sequence[str]:
        damage = await self._database.integrity_check()
        return (*damage, *await self._database.read(_faults))

    async def copy_to(self, target: Path) -> None:
        """Copy the whole database to `target` with its key, as it is now, while it is used; durable on return."""
        await asyncio.to_thread(self._database.copy_to, target)

    async def close(self) -> None:
        await asyncio.to_thread(self._database.close)


def _faults(connection: apsw.Connection) -> list[str]:
    """What the schema alone cannot refuse."""
    miscounted = fetch(connection, "miscounted")
    found = [f"{agent} has {by:+} {state} tasks beside their count" for agent, state, by in miscounted]
    for name, what in (
        ("beyond_position", "tasks have changed after the latest change"),
        ("orphans", "outputs belong to no task"),
    ):
        if number := connection.execute(SQL[name]).get:
            found.append(f"{number} {what}")
    return found
