"""What the machine does to a database is said as such; what a work does wrong stays as it was raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from foundation.errors import Unavailable
from foundation.sqlite.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_notes.sql").write_text("create table notes (id integer primary key, text text) strict;")
    with Database.open(tmp_path / "a.db", key=b"\x07" * 32, migrations=folder) as opened:
        yield opened


def inserting(text: str) -> Callable[[apsw.Connection], int]:
    return lambda connection: int(connection.execute("insert into notes (text) values (?) returning id", (text,)).get)


def texts(connection: apsw.Connection) -> list[str]:
    return [str(text) for (text,) in connection.execute("select text from notes")]


@pytest.mark.parametrize(
    "fault",
    [
        apsw.CantOpenError("unable to open database file"),
        apsw.NoMemError("out of memory"),
        OSError(24, "Too many open files"),
        MemoryError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_fault_of_the_machine_is_no_fault_of_the_work(database: Database, fault: Exception) -> None:
    def fail(connection: apsw.Connection) -> None:
        inserting("undone")(connection)
        raise fault

    def fail_to_read(_connection: apsw.Connection) -> None:
        raise fault

    for ask, work in ((database.write, fail), (database.read, fail_to_read)):
        with pytest.raises(Unavailable, match=type(fault).__name__) as said:
            await ask(work)
        assert (said.value.code, said.value.__cause__) == ("database_unusable", fault)
    assert await database.write(inserting("stored")) > 0
    assert await database.read(texts) == ["stored"]


async def test_what_a_work_does_wrong_stays_as_it_was_raised(database: Database) -> None:
    with pytest.raises(apsw.SQLError):
        await database.write(lambda connection: connection.execute("insert into nowhere values (1)"))
    with pytest.raises(apsw.ReadOnlyError):
        await database.read(inserting("one"))
