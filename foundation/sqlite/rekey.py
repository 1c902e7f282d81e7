"""Gives a database another key: an encrypted copy takes its place, so that a crash leaves the old one or the new."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import apsw

from foundation.errors import Conflict, Internal, Invalid
from foundation.files import sync, sync_directory
from foundation.sqlite.connection import Location, connect
from foundation.sqlite.pages import key_fits

Finish = Callable[[apsw.Connection], object]
"""Writes what belongs into the new database before it takes the old one's place."""

_SIDE_FILES = ("-wal", "-shm", "-journal")


def rekey(path: Path, old: bytes, new: bytes, finish: Finish | None = None) -> bool:
    """Encrypt the database at `path` with `new` in place of `old`, durably; False when it has that key already.

    Needs room for a second copy. Whenever the process ends, the file opens with one of the two keys and holds
    everything. Raises Conflict when anybody else has it open, Invalid when neither key fits, Exhausted-like SQLite
    errors as they are.
    """
    copy = path.with_name(f"{path.name}.rekeyed")
    _remove(copy)
    if key_fits(path, new):
        return False
    if not key_fits(path, old):
        raise Invalid("database_key_wrong", f"Neither the old key nor the new one opens {path}.")
    source = connect(Location(path=path, key=old))
    try:
        _have_alone(source, path)
        _copy(source, copy, new, finish)
        # No log and no journal is left beside the old file, so nothing of it could be played into the new one.
        os.replace(copy, path)
        sync_directory(path.parent)
    finally:
        source.close()
    return True


def _have_alone(connection: apsw.Connection, path: Path) -> None:
    """Move the log into the file, and keep everybody else out from here on."""
    connection.set_busy_timeout(0)
    try:
        if connection.execute("pragma journal_mode = delete").get != "delete":
            raise apsw.BusyError("still in use")
        connection.execute("pragma locking_mode = exclusive")
        connection.execute("begin immediate; commit")
    except apsw.BusyError:
        raise Conflict(
            "database_in_use",
            f"{path} is open in another process, so its key cannot be changed.",
            remedy="`quantum down` ends everything that uses it.",
        ) from None


def _copy(source: apsw.Connection, copy: Path, key: bytes, finish: Finish | None) -> None:
    target = connect(Location(path=copy, key=key))
    try:
        with target.backup("main", source, "main") as backup:
            backup.step(-1)
        if finish is not None:
            target.execute("begin immediate")
            finish(target)
            target.execute("commit")
        verdict = target.execute("pragma integrity_check(1)").get
        if verdict != "ok":
            raise Internal("copy_unsound", f"The re-encrypted copy {copy} did not verify: {verdict}.")
        target.execute("pragma journal_mode = delete")
    finally:
        target.close()
    if not key_fits(copy, key):
        raise Internal("copy_unsound", f"The re-encrypted copy {copy} does not open with the new key.")
    descriptor = os.open(copy, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def _remove(copy: Path) -> None:
    """Take away what an interrupted run left."""
    for leftover in (copy, *(copy.with_name(copy.name + end) for end in _SIDE_FILES)):
        leftover.unlink(missing_ok=True)
