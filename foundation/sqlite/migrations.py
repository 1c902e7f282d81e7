"""Numbered forward-only SQL files, applied in one transaction and checked against what was applied before."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from foundation.errors import Internal
from foundation.sqlite.connection import Location, connect

_FILE_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
_TABLE = """
create table if not exists schema_migrations (
    number   integer primary key check (number > 0),
    name     text not null,
    checksum text not null check (length(checksum) = 64)
) strict
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One step of the schema; `checksum` is the SHA-256 of its file in hex."""

    number: int
    name: str
    sql: str
    checksum: str


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """Read `NNNN_name.sql` files in order; raises Internal unless they are numbered 1, 2, 3 and so on."""
    found = tuple(_read(path) for path in sorted(folder.glob("*.sql")))
    numbers = [migration.number for migration in found]
    if not found or numbers != list(range(1, len(found) + 1)):
        raise Internal(
            "migrations_misnumbered", f"The migrations in {folder} must be numbered from 0001 without a gap."
        )
    return found


def _read(path: Path) -> Migration:
    parts = _FILE_NAME.fullmatch(path.name)
    if parts is None:
        raise Internal("migration_misnamed", f"{path} is not named like 0001_some_name.sql.")
    content = path.read_bytes()
    return Migration(
        number=int(parts["number"]),
        name=parts["name"],
        sql=content.decode(),
        checksum=hashlib.sha256(content).hexdigest(),
    )


def migrate(connection: apsw.Connection, location: Location, migrations: Sequence[Migration]) -> int:
    """Bring the schema up to date and return how many steps that took.

    All steps are one transaction. A database that holds something is first copied to
    `<path>.before-<number>` (the newest one is kept), and the copy is verified. Raises Internal when
    the database is newer than `migrations`, or when a file that was applied has been edited since.
    """
    if len(_pending(connection, migrations)) == 0:
        return 0
    if applied := _applied(connection):
        copy = _copy_path(location.path, max(applied))
        back_up(connection, location, copy)
        _remove_copies(location.path, but=copy)
    connection.execute("begin immediate")
    try:
        # Asked again under the lock: another process may have migrated in between.
        pending = _pending(connection, migrations)
        connection.execute(_TABLE)
        for migration in pending:
            _apply(connection, migration)
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    return len(pending)


def _applied(connection: apsw.Connection) -> dict[int, tuple[str, str]]:
    if connection.table_exists(None, "schema_migrations") is False:
        return {}
    rows = connection.execute("select number, name, checksum from schema_migrations order by number")
    return {number: (name, checksum) for number, name, checksum in rows}


def _pending(connection: apsw.Connection, migrations: Sequence[Migration]) -> list[Migration]:
    applied = _applied(connection)
    known = {migration.number: migration for migration in migrations}
    for number, (name, checksum) in applied.items():
        if number not in known:
            raise Internal(
                "schema_newer",
                f"The database has migration {number:04} ({name}), which this version does not know.",
                remedy="Start the version that wrote it, or a later one.",
            )
        if known[number].checksum != checksum:
            raise Internal(
                "migration_edited",
                f"Migration {number:04} ({name}) was edited after it had been applied.",
                remedy="Put the file back as it was and write a new migration.",
            )
    return [migration for migration in migrations if migration.number not in applied]


def _apply(connection: apsw.Connection, migration: Migration) -> None:
    connection.authorizer = _refuse_transactions
    try:
        connection.execute(migration.sql)
    except apsw.AuthError as error:
        raise Internal(
            "migration_commits",
            f"Migration {migration.number:04} ({migration.name}) must not begin or end a transaction.",
        ) from error
    finally:
        connection.authorizer = None
    faults = connection.execute("pragma foreign_key_check").fetchall()
    if faults:
        raise Internal(
            "migration_breaks_reference",
            f"Migration {migration.number:04} ({migration.name}) leaves {len(faults)} rows pointing nowhere.",
        )
    connection.execute(
        "insert into schema_migrations (number, name, checksum) values (?, ?, ?)",
        (migration.number, migration.name, migration.checksum),
    )


def _refuse_transactions(action: int, *_: object) -> int:
    """Keep a `commit` inside a migration from leaving half of it behind."""
    return apsw.SQLITE_DENY if action == apsw.SQLITE_TRANSACTION else apsw.SQLITE_OK


def _copy_path(path: Path, applied: int) -> Path:
    return path.with_name(f"{path.name}.before-{applied + 1:04}")


def _remove_copies(path: Path, *, but: Path) -> None:
    """Keep the newest copy only: each is as large as the database."""
    for copy in path.parent.glob(f"{path.name}.before-[0-9][0-9][0-9][0-9]"):
        if copy != but:
            copy.unlink()


def back_up(connection: apsw.Connection, location: Location, target: Path) -> None:
    """Copy the whole database to `target` (replaced), with the same key, and verify the copy."""
    for leftover in (target, *(target.with_name(target.name + end) for end in ("-wal", "-shm", "-journal"))):
        leftover.unlink(missing_ok=True)
    copy = connect(Location(path=target, key=location.key))
    try:
        with copy.backup("main", connection, "main") as backup:
            backup.step(-1)
        verdict = copy.execute("pragma integrity_check(1)").get
        if verdict != "ok":
            raise Internal("copy_unsound", f"The copy {target} of the database did not verify: {verdict}.")
    finally:
        copy.close()
