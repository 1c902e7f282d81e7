"""A read sees every write that was answered, whatever an earlier read left behind."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from foundation.ids import random_bytes
from foundation.sqlite.database import Database

pytestmark = pytest.mark.asyncio


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_rows.sql").write_text("create table rows (number integer primary key);")
    with Database.open(tmp_path / "rows.db", key=random_bytes(32), migrations=folder) as opened:
        yield opened


async def _add(database: Database, number: int) -> None:
    await database.write(lambda connection: connection.execute("insert into rows values (?)", (number,)).fetchall())


def _count(connection: apsw.Connection) -> int:
    return int(next(connection.execute("select count(*) from rows"))[0])


async def test_a_half_read_statement_that_somebody_keeps_does_not_freeze_the_snapshot(database: Database) -> None:
    kept: list[apsw.Cursor] = []

    def read_half(connection: apsw.Connection) -> None:
        cursor = connection.execute("select number from rows")
        next(cursor)
        kept.append(cursor)

    for number in range(3):
        await _add(database, number)
    await database.read(read_half)
    await _add(database, 3)
    assert await database.read(_count) == 4
    with pytest.raises(apsw.CursorClosedError):
        next(kept[0])


async def test_a_read_that_raises_with_a_statement_half_read_does_not_freeze_the_snapshot(database: Database) -> None:
    errors = []

    def fail(connection: apsw.Connection) -> None:
        for (number,) in connection.execute("select number from rows"):
            raise LookupError(f"row {number} is not wanted")

    for number in range(3):
        await _add(database, number)
    try:
        await database.read(fail)
    except LookupError as error:
        errors.append(error)  # its traceback keeps the cursor
    await _add(database, 3)
    assert errors and await database.read(_count) == 4
