"""Whole copies of a database: made while it is written to, and looked over where they lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import apsw

from foundation.errors import Exhausted
from foundation.files import sync, sync_directory
from foundation.sqlite.connection import Location, connect
from foundation.sqlite.pages import key_fits

STEP_PAGES = 256
"""1 MiB: some milliseconds, after which others of this process have their turn."""
_SIDE_FILES = ("-wal", "-shm", "-journal")


def copy_online(location: Location, target: Path, *, given_up: Callable[[], bool] = lambda: False) -> None:
    """Copy a database to `target` (replaced), encrypted with the same key, as it is at one moment; durable on return.

    Others go on reading and writing meanwhile; their log cannot begin anew until this is over. Raises Exhausted,
    code `copy_given_up`, once `given_up` says so, and what SQLite raises; then there is no copy.
    """
    remove_database(target)
    source = connect(location, read_only=True)
    try:
        source.execute("begin")
        source.execute("select count(*) from sqlite_schema").get  # noqa: B018 - from here on it is one snapshot
        _copy(source, Location(path=target, key=location.key, synchronous="OFF"), given_up)
    except BaseException:
        remove_database(target)
        raise
    finally:
        source.close()
    descriptor = os.open(target, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(target.parent)


def _copy(source: apsw.Connection, target: Location, given_up: Callable[[], bool]) -> None:
    copy = connect(target)
    try:
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(STEP_PAGES)
                if given_up():
                    raise Exhausted(
                        "copy_given_up",
                        "Too much was written while the database was being copied; the copy was given up.",
                        remedy="Try again when less is going on.",
                    )
        copy.execute("pragma journal_mode = delete")
    finally:
        copy.close()


def remove_database(path: Path) -> None:
    """Remove a database and what lies beside it; nothing happens where there is none."""
    for leftover in (path, *(path.with_name(path.name + end) for end in _SIDE_FILES)):
        leftover.unlink(missing_ok=True)


def row_counts(path: Path, key: bytes) -> Mapping[str, int]:
    """How many rows each table of a database has that nobody uses; nothing is migrated."""
    connection = connect(Location(path=path, key=key))
    try:
        names = [row[0] for row in connection.execute("select name from sqlite_schema where type = 'table'")]
        tables = [name for name in names if not name.startswith("sqlite_")]
        return {name: connection.execute(f'select count(*) from "{name}"').get for name in sorted(tables)}
    finally:
        connection.close()


def faults_of_copy(path: Path, key: bytes, counts: Mapping[str, int] | None) -> list[str]:
    """What is wrong with a copy that nobody uses, a sentence each: its key, its pages, its references, its `counts`."""
    if not key_fits(path, key):
        return [f"{path.name} is not there, or its key does not open it."]
    try:
        damage = _damage(path, key)
        found = {} if damage or counts is None else row_counts(path, key)
    except apsw.Error as error:
        return [f"{path.name} cannot be read: {error}."]
    if damage or counts is None:
        return damage
    return [
        f"{path.name} has {found.get(table)} rows in {table}, and had {counts.get(table)} when it was copied."
        for table in sorted({*found, *counts})
        if found.get(table) != counts.get(table)
    ]


def _damage(path: Path, key: bytes) -> list[str]:
    connection = connect(Location(path=path, key=key))
    try:
        damage = [f"{path.name}: {row[0]}." for row in connection.execute("pragma integrity_check") if row[0] != "ok"]
        astray = connection.execute("pragma foreign_key_check").fetchall()
    finally:
        connection.close()
    lost = [f"{path.name}: row {row} of {table} points to no row of {parent}." for table, row, parent, _ in astray]
    return damage + lost
