"""A database is copied while it is written to, as it was at one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from foundation.errors import Exhausted
from foundation.sqlite import copies
from foundation.sqlite.connection import Location, connect
from foundation.sqlite.copies import copy_online, faults_of_copy, row_counts
from foundation.sqlite.database import Database
from tests.waiting import PATIENCE_SECONDS

KEY = bytes(range(32))
ACCOUNTS = 2_000


@pytest.fixture
def database(tmp_path: Path) -> Database:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_money.sql").write_text(
        "create table money (id integer primary key, held integer, pad blob) strict;"
    )
    made = Database.open(tmp_path / "a.db", key=KEY, migrations=folder)
    rows = [(number, 100, bytes(500)) for number in range(ACCOUNTS)]
    made.write_sync(lambda connection: connection.executemany("insert into money values (?, ?, ?)", rows))
    return made


def move(connection: apsw.Connection, step: int) -> None:
    """Move money from one end of the file to the other, so that a copy of two moments has too much or too little."""
    there, here = step % ACCOUNTS, ACCOUNTS - 1 - step % ACCOUNTS
    connection.execute("update money set held = held - 7 where id = ?", (there,))
    connection.execute("update money set held = held + 7 where id = ?", (here,))


def held(path: Path) -> int:
    connection = connect(Location(path=path, key=KEY))
    try:
        total = connection.execute("select sum(held) from money").get
        assert isinstance(total, int)
        return total
    finally:
        connection.close()


def copied_under_load(database: Database, target: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Copy while money is moved, once at least between two steps; how many moves were committed in that time."""
    over, moves = threading.Event(), 0
    moving, copy = threading.Event(), copies._copy

    def keep_moving() -> None:
        nonlocal moves
        while not over.is_set():
            step = moves * 13
            database.write_sync(lambda connection: move(connection, step))  # noqa: B023
            moves += 1
            moving.set()

    def copy_slowly(source: apsw.Connection, target: Location, given_up: Callable[[], bool]) -> None:
        def between_two_steps() -> bool:
            moving.clear()
            assert moving.wait(PATIENCE_SECONDS)
            return given_up()

        copy(source, target, between_two_steps)

    monkeypatch.setattr(copies, "_copy", copy_slowly)
    thread = threading.Thread(target=keep_moving)
    thread.start()
    before = moves
    try:
        database.copy_to(target)
    finally:
        over.set()
        thread.join()
    return moves - before


def test_the_copy_is_of_one_moment_while_others_write(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "STEP_PAGES", 8)
    target = tmp_path / "b.db"
    with database:
        during = copied_under_load(database, target, monkeypatch)
    assert during > 0, "nothing was written meanwhile, so nothing is shown"
    assert held(target) == ACCOUNTS * 100
    assert faults_of_copy(target, KEY, {"money": ACCOUNTS, "schema_migrations": 1}) == []
    assert row_counts(target, KEY)["money"] == ACCOUNTS
    print(f"{during} moves were committed while it was copied")


def test_pages_that_are_read_at_different_moments_do_not_add_up(database: Database, tmp_path: Path) -> None:
    """The control: the same rows read one by one, without a snapshot, while money is moved."""
    with database:
        total = 0
        for number in range(ACCOUNTS):
            total += database.read_sync(
                lambda connection: connection.execute("select held from money where id = ?", (number,)).get  # noqa: B023
            )
            if number % 100 == 0:
                database.write_sync(lambda connection: move(connection, 13))
    assert total != ACCOUNTS * 100


def test_a_copy_that_is_given_up_leaves_nothing(database: Database, tmp_path: Path) -> None:
    with database:
        with pytest.raises(Exhausted, match="given up"):
            copy_online(Location(path=database.path, key=KEY), tmp_path / "b.db", given_up=lambda: True)
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("b.db")] == []
        database.write_sync(lambda connection: move(connection, 1))


def test_what_is_wrong_with_a_copy_is_said(database: Database, tmp_path: Path) -> None:
    target = tmp_path / "b.db"
    with database:
        database.copy_to(target)
    assert "rows in money" in faults_of_copy(target, KEY, {"money": 1, "schema_migrations": 1})[0]
    assert "key does not open" in faults_of_copy(target, bytes(32), {})[0]
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    (fault, *_) = faults_of_copy(target, KEY, {"money": ACCOUNTS, "schema_migrations": 1})
    assert "rows in" not in fault, "the page itself is found to be damaged"
