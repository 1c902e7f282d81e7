"""A database owned by one service: awaitable works on a writer thread with group commit, and on readers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import apsw

from foundation.errors import Invalid
from foundation.sqlite.checkpointer import Checkpointer, OnFatal
from foundation.sqlite.connection import KEY_BYTES, Location, Synchronous, connect
from foundation.sqlite.copies import copy_online
from foundation.sqlite.migrations import migrate, read_migrations
from foundation.sqlite.reader import Readers
from foundation.sqlite.writer import Writer

T = TypeVar("T")

EXIT_DATABASE_FAILED = 74  # EX_IOERR of sysexits.h


def end_process(error: BaseException) -> None:
    """End the process at once, without clean-up: after a failed sync nothing in memory may be trusted."""
    sys.stderr.write(f"The database failed ({error!r}); the process ends so that it starts from what is on disk.\n")
    sys.stderr.flush()
    os._exit(EXIT_DATABASE_FAILED)


class Database:
    """One SQLite file, its writer thread and its reader threads; usable from any thread and event loop."""

    def __init__(self, location: Location, writer: Writer, readers: Readers) -> None:
        self.path = location.path
        self._location = location
        self._writer = writer
        self._readers = readers

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        key: bytes | None,
        migrations: Path,
        readers: int = 1,
        encrypt: bool = True,
        synchronous: Synchronous = "FULL",
        vfs: str | None = None,
        on_fatal: OnFatal = end_process,
    ) -> Self:
        """Open the file, creating it (0600) where there is none, and bring its schema up to date.

        `key` is 32 bytes. A plain file needs both `key=None` and `encrypt=False` and is meant for
        benchmarks, as is any `synchronous` but FULL. `vfs` names a registered SQLite VFS. `on_fatal` is
        called when a commit or a sync fails and must not return in production. Raises Invalid for a key
        that does not fit the file, and Internal for an unsafe SQLite, a newer schema or an edited migration.
        """
        _check_key(key, encrypt=encrypt)
        location = Location(path=path, key=key, synchronous=synchronous, vfs=vfs)
        steps = read_migrations(migrations)
        connection = connect(location)
        try:
            migrate(connection, location, steps)
            reading = [connect(location, read_only=True) for _ in range(readers)]
        except BaseException:
            connection.close()
            raise
        checkpointer = Checkpointer(connect(location), on_fatal)
        return cls(location, Writer(connection, checkpointer, on_fatal), Readers(reading))

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in the writer thread and return its result once it is durable on disk.

        Works that wait at the same time share one transaction; what one raises undoes that one alone, and
        is raised here. `work` must neither begin nor end a transaction, and must not wait for anything.
        A caller that is cancelled while it waits does not know whether its work was done. Raises
        Unavailable (another process holds the lock, the machine has no descriptor or memory left, or closed) and
        Exhausted (disk full).
        """
        return cast(T, await self._writer.jobs.ask(work))

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` on a read-only connection, in one snapshot of what was committed before. Raises Unavailable."""
        return cast(T, await self._readers.jobs.ask(work))

    def write_sync(self, work: Callable[[apsw.Connection], T]) -> T:
        """As `write`, for callers without an event loop: tools and tests."""
        return cast(T, self._writer.jobs.ask_sync(work).result())

    def read_sync(self, work: Callable[[apsw.Connection], T]) -> T:
        """As `read`, for callers without an event loop: tools and tests."""
        return cast(T, self._readers.jobs.ask_sync(work).result())

    def copy_to(self, target: Path) -> None:
        """Copy the whole database to `target` (replaced), with the same key, as it is now; durable on return.

        Takes as long as reading and writing it takes, in the caller's thread; writers and readers go on meanwhile.
        Raises Exhausted when so much is written in that time that the log would grow beyond its bound.
        """
        with self._writer.patient() as log_full:
            copy_online(self._location, target, given_up=log_full)

    async def integrity_check(self) -> tuple[str, ...]:
        """Read the whole file and return what is wrong with it, one sentence each; empty when it is sound."""
        return await self.read(_faults)

    async def used_bytes(self) -> int:
        """The bytes in use inside the file, without pages that deletes have freed."""
        return await self.read(_used_bytes)

    def close(self) -> None:
        """Finish what is queued, empty the log into the file and close; later calls raise Unavailable."""
        self._readers.close()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_key(key: bytes | None, *, encrypt: bool) -> None:
    if encrypt and (key is None or len(key) != KEY_BYTES):
        raise Invalid("database_key_length", f"A database key is exactly {KEY_BYTES} bytes.")
    if not encrypt and key is not None:
        raise Invalid("database_key_unused", "A key was given for a database that is not to be encrypted.")


def _faults(connection: apsw.Connection) -> tuple[str, ...]:
    damage = [row[0] for row in connection.execute("pragma integrity_check") if row[0] != "ok"]
    astray: list[Any] = connection.execute("pragma foreign_key_check").fetchall()
    return (
        *damage,
        *(f"row {row} of {table} points to no row of {parent}" for table, row, parent, _ in astray),
    )


def _used_bytes(connection: apsw.Connection) -> int:
    pages, free, size = (
        connection.execute(f"pragma {name}").get for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
