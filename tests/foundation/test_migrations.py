"""Migrations go forward only, once, whole, and never over a database without a verified copy."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from foundation.errors import Internal
from foundation.sqlite.database import Database
from foundation.sqlite.migrations import read_migrations

KEY = b"\x07" * 32
ONE = "create table notes (text text not null) strict;"
TWO = "alter table notes add column mood text not null default 'calm'; create index notes_mood on notes (mood);"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "migrations"
    made.mkdir()
    (made / "0001_notes.sql").write_text(ONE)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


def open_database(path: Path, folder: Path) -> Database:
    return Database.open(path, key=KEY, migrations=folder)


def numbers(database: Database) -> list[int]:
    return [
        int(str(number))
        for (number,) in database.read_sync(
            lambda connection: connection.execute("select number from schema_migrations order by 1").fetchall()
        )
    ]


def insert(database: Database, text: str) -> None:
    database.write_sync(lambda connection: connection.execute("insert into notes (text) values (?)", (text,)))


def test_opening_twice_applies_once(path: Path, folder: Path) -> None:
    with open_database(path, folder) as database:
        insert(database, "kept")
    with open_database(path, folder) as database:
        assert numbers(database) == [1]
    assert not list(path.parent.glob("a.db.before-*"))


def test_a_new_step_leaves_a_verified_copy_of_what_was_there(path: Path, folder: Path, tmp_path: Path) -> None:
    with open_database(path, folder) as database:
        insert(database, "old")
    old_steps = tmp_path / "old"
    old_steps.mkdir()
    (old_steps / "0001_notes.sql").write_text(ONE)
    (folder / "0002_mood.sql").write_text(TWO)
    with open_database(path, folder) as database:
        assert numbers(database) == [1, 2]
        rows = database.read_sync(lambda connection: connection.execute("select * from notes").fetchall())
        assert rows == [("old", "calm")]

    copy = tmp_path / "a.db.before-0002"
    assert b"SQLite format 3" not in copy.read_bytes()
    with open_database(copy, old_steps) as database:
        assert database.read_sync(lambda connection: connection.execute("select * from notes").get) == "old"


def test_only_the_newest_copy_is_kept(path: Path, folder: Path) -> None:
    for number in range(2, 5):
        open_database(path, folder).close()
        (folder / f"000{number}_more.sql").write_text(f"create table more{number} (a integer) strict;")
    open_database(path, folder).close()

    assert [copy.name for copy in path.parent.glob("a.db.before-*")] == ["a.db.before-0004"]


def test_steps_are_applied_all_or_none(path: Path, folder: Path) -> None:
    open_database(path, folder).close()
    (folder / "0002_mood.sql").write_text(TWO)
    broken = folder / "0003_broken.sql"
    broken.write_text("create table more (a integer) strict; insert into nowhere values (1);")
    with pytest.raises(apsw.SQLError):
        open_database(path, folder)

    broken.unlink()
    (folder / "0002_mood.sql").unlink()
    with open_database(path, folder) as database:
        assert numbers(database) == [1]


@pytest.mark.parametrize("statement", ["commit;", "rollback;", "begin;", "end;"])
def test_a_step_may_not_touch_its_transaction(path: Path, folder: Path, statement: str) -> None:
    (folder / "0002_commits.sql").write_text(f"create table more (a integer) strict; {statement}")
    with pytest.raises(Internal) as refused:
        open_database(path, folder)
    assert refused.value.code == "migration_commits"

    (folder / "0002_commits.sql").unlink()
    with open_database(path, folder) as database:
        assert numbers(database) == [1]


def test_a_step_may_not_leave_rows_that_point_nowhere(path: Path, folder: Path) -> None:
    (folder / "0002_parents.sql").write_text(
        "create table parents (id integer primary key) strict;"
        "create table children (parent integer references parents (id) deferrable initially deferred) strict;"
        "insert into children values (7);"
    )
    with pytest.raises(Internal) as refused:
        open_database(path, folder)
    assert refused.value.code == "migration_breaks_reference"


def test_an_edited_step_is_refused(path: Path, folder: Path) -> None:
    open_database(path, folder).close()
    (folder / "0001_notes.sql").write_text(ONE + " -- a remark")
    with pytest.raises(Internal, match="edited"):
        open_database(path, folder)


def test_a_newer_schema_is_refused_untouched(path: Path, folder: Path) -> None:
    newer = folder / "0002_mood.sql"
    newer.write_text(TWO)
    open_database(path, folder).close()
    newer.unlink()
    before = path.read_bytes()
    with pytest.raises(Internal, match="does not know"):
        open_database(path, folder)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["2_short.sql", "0003_gap.sql", "0002-dash.sql", "0001_again.sql"])
def test_misnumbered_files_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("select 1;")
    with pytest.raises(Internal):
        read_migrations(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Internal):
        read_migrations(tmp_path)
