"""Opens one SQLite connection with the key and the durability that every database of ours has."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import apsw

from foundation.errors import Denied, Internal, Invalid

Synchronous = Literal["FULL", "NORMAL", "OFF"]

# SQLite 3.7.0 to 3.51.2 can corrupt a database when a WAL is reset while another connection writes.
SQLITE_VERSION_MIN = (3, 51, 3)
KEY_BYTES = 32
BUSY_TIMEOUT = timedelta(seconds=5)
JOURNAL_BYTES_MAX = 64 * 1024 * 1024
# Readers look at little; what is looked at again and again is claimed by the writer.
CACHE_KIB = {"writer": 16 * 1024, "reader": 4 * 1024}
# The most that apsw takes. It forgets by uses, and each row of an `executemany` is one: with half as many every commit
# of a busy coordinator compiled its statements anew.
STATEMENTS_CACHED = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """Where a database is and how it is opened; `key` None means plain text on disk."""

    path: Path
    key: bytes | None
    synchronous: Synchronous = "FULL"
    vfs: str | None = None


def require_sqlite(version: str | None = None) -> None:
    """Raise Internal when SQLite (by default the library in use) is older than the oldest safe one."""
    found = version or apsw.sqlite_lib_version()
    if tuple(int(part) for part in found.split(".")) < SQLITE_VERSION_MIN:
        oldest = ".".join(str(part) for part in SQLITE_VERSION_MIN)
        raise Internal(
            "sqlite_too_old",
            f"SQLite {found} can corrupt a write-ahead log; {oldest} or later is needed.",
            remedy="Install the locked dependencies again with `make setup`.",
        )


def connect(location: Location, *, read_only: bool = False) -> apsw.Connection:
    """Open `location`, creating the file (0600) unless `read_only`, and prove that the key fits.

    Raises Invalid when the key does not open the file, Denied when the system does not let us open or write it,
    and Internal when SQLite is too old.
    """
    require_sqlite()
    try:
        if not read_only:
            _create_private(location.path)
        connection = apsw.Connection(
            str(location.path),
            flags=apsw.SQLITE_OPEN_READWRITE,
            vfs=location.vfs,
            statementcachesize=STATEMENTS_CACHED,
        )
        try:
            _configure(connection, location)
            _specialise(connection, read_only=read_only)
        except BaseException:
            connection.close()
            raise
    except apsw.NotADBError as fault:
        raise _unreadable(location) from fault
    except (OSError, apsw.CantOpenError, apsw.ReadOnlyError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else str(fault)
        raise Denied("database_inaccessible", f"{location.path} cannot be opened for writing: {reason}.") from fault
    return connection


def _create_private(path: Path) -> None:
    # SQLite gives the -wal and -shm files the mode of the database, so this one call covers all three.
    # A file that is there must not even be opened: closing a descriptor drops every POSIX lock that this process has
    # on the file, SQLite's too, and then any other program that opens it may delete the WAL of a living database.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _configure(connection: apsw.Connection, location: Location) -> None:
    """Apply the pragmas in the one order that works: key, vacuum mode, journal, durability."""
    connection.set_busy_timeout(int(BUSY_TIMEOUT / timedelta(milliseconds=1)))
    if location.key is not None:
        connection.execute("pragma cipher = 'sqlcipher'")
        connection.execute("pragma legacy = 4")
        connection.execute(f"pragma key = \"x'{location.key.hex()}'\"")
    tables = connection.execute("select count(*) from sqlite_schema").get
    if tables == 0:
        # Takes effect only in a file without tables, and only before WAL writes the first page.
        connection.execute("pragma auto_vacuum = incremental")
    mode = connection.execute("pragma journal_mode = wal").get
    if mode != "wal":
        raise Internal("wal_refused", f"{location.path} cannot use a write-ahead log (it uses {mode}).")
    connection.execute(f"pragma synchronous = {location.synchronous}")
    connection.execute("pragma foreign_keys = on")
    connection.execute(f"pragma journal_size_limit = {JOURNAL_BYTES_MAX}")
    # The writer checkpoints by itself, off the reply path, and sees a failed sync that SQLite would swallow.
    connection.execute("pragma wal_autocheckpoint = 0")
    if sys.platform == "darwin":
        connection.execute("pragma fullfsync = on")
        connection.execute("pragma checkpoint_fullfsync = on")


def _specialise(connection: apsw.Connection, *, read_only: bool) -> None:
    if read_only:
        connection.execute("pragma query_only = on")
    connection.execute(f"pragma cache_size = -{CACHE_KIB['reader' if read_only else 'writer']}")


def _unreadable(location: Location) -> Invalid:
    if location.key is None:
        return Invalid("database_unreadable", f"{location.path} is encrypted or not a database; no key was given.")
    return Invalid(
        "database_key_wrong",
        f"The key does not open {location.path}: it is another database's, or the file is not encrypted.",
        remedy="Restore the key from the recovery key printed by `quantum init`.",
    )
