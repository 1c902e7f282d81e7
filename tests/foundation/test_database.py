"""Group commit, isolation of works, readers, keys, limits and the end of a database."""

from __future__ import annotations

import asyncio
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from foundation.errors import Denied, Exhausted, Internal, Invalid, Unavailable
from foundation.sqlite import connection as connections
from foundation.sqlite import writer
from foundation.sqlite.connection import Location, connect, require_sqlite
from foundation.sqlite.database import Database
from tests.foundation.recording_vfs import Gate, RecordingVfs

KEY = b"\x07" * 32


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_notes.sql").write_text(
        "create table notes (id integer primary key, text text not null unique) strict;"
        "create table marks (note integer not null references notes (id)) strict;"
    )
    return folder


@pytest.fixture
def database(tmp_path: Path, migrations: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "a.db", key=KEY, migrations=migrations) as opened:
        yield opened


def insert(connection: apsw.Connection, text: str) -> int:
    return int(connection.execute("insert into notes (text) values (?) returning id", (text,)).get)


def inserting(text: str) -> Callable[[apsw.Connection], int]:
    return lambda connection: insert(connection, text)


def asking(sql: str) -> Callable[[apsw.Connection], object]:
    return lambda connection: connection.execute(sql).get


def log_of(database: Database) -> Path:
    return database.path.with_name(f"{database.path.name}-wal")


def log_pages(database: Database) -> int:
    onlooker = connect(Location(path=database.path, key=KEY))
    try:
        return onlooker.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]
    finally:
        onlooker.close()


def texts(connection: apsw.Connection) -> list[str]:
    return [str(text) for (text,) in connection.execute("select text from notes order by id")]


async def test_write_returns_what_the_work_returned_and_read_sees_it(database: Database) -> None:
    assert await database.write(inserting("one")) == 1
    assert await database.read(texts) == ["one"]


async def test_works_that_wait_share_one_commit(tmp_path: Path, migrations: Path) -> None:
    vfs = RecordingVfs()
    database = Database.open(tmp_path / "a.db", key=KEY, migrations=migrations, vfs=vfs.full_name)
    gate = Gate()
    first = asyncio.ensure_future(database.write(lambda connection: gate.pass_through()))
    await asyncio.to_thread(gate.reached.wait, 30)
    waiting = [asyncio.ensure_future(database.write(inserting(f"{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    vfs.events.clear()
    gate.open()
    await asyncio.gather(first, *waiting)
    assert vfs.events.count("sync wal") <= 2
    database.close()


async def test_a_work_that_raises_undoes_itself_only(database: Database) -> None:
    def fail_late(connection: apsw.Connection) -> None:
        insert(connection, "half done")
        raise ValueError("no")

    outcomes: Any = await asyncio.gather(
        database.write(inserting("before")),
        database.write(fail_late),
        database.write(inserting("after")),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [int, ValueError, int]
    assert await database.read(texts) == ["before", "after"]


async def test_a_constraint_reaches_the_asker_as_it_was_raised(database: Database) -> None:
    await database.write(inserting("one"))
    with pytest.raises(apsw.ConstraintError):
        await database.write(inserting("one"))
    with pytest.raises(apsw.ConstraintError):
        await database.write(lambda connection: connection.execute("insert into marks values (99)"))


async def test_an_exception_that_a_future_cannot_carry_still_reaches_the_asker(database: Database) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await database.write(lambda connection: next(iter(())))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await database.read(lambda connection: next(iter(())))


async def test_a_full_disk_is_said_and_harms_nothing_that_was_stored(database: Database) -> None:
    await database.write(inserting("stored"))
    await database.write(lambda connection: connection.execute("pragma max_page_count = 20").get)
    big = "x" * 200_000

    with pytest.raises(Exhausted, match="full"):
        await database.write(inserting(big))

    assert await database.write(inserting("small")) == 2
    assert await database.read(texts) == ["stored", "small"]
    assert await database.integrity_check() == ()


async def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        await database.read(inserting("one"))


async def test_a_read_is_one_snapshot(database: Database) -> None:
    gate = Gate()

    def count_twice(connection: apsw.Connection) -> tuple[int, int]:
        first = len(texts(connection))
        gate.pass_through()
        return first, len(texts(connection))

    reading = asyncio.ensure_future(database.read(count_twice))
    await asyncio.to_thread(gate.reached.wait, 30)
    await database.write(inserting("meanwhile"))
    gate.open()

    assert await reading == (0, 0)
    assert await database.read(texts) == ["meanwhile"]


async def test_a_work_whose_asker_gave_up_before_its_turn_is_not_done(database: Database) -> None:
    gate = Gate()
    first = asyncio.ensure_future(database.write(lambda connection: gate.pass_through()))
    await asyncio.to_thread(gate.reached.wait, 30)
    waiting = asyncio.ensure_future(database.write(inserting("given up")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.open()
    await first

    assert await database.read(texts) == []


def test_several_loops_and_plain_threads_share_a_database(database: Database) -> None:
    async def write_some(prefix: str) -> None:
        async def one(number: int) -> None:
            await database.write(inserting(f"{prefix}{number}"))

        await asyncio.gather(*(one(number) for number in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(write_some(prefix),)) for prefix in "ab"]
    for thread in threads:
        thread.start()
    for number in range(50):
        database.write_sync(inserting(f"c{number}"))
    for thread in threads:
        thread.join()

    assert len(database.read_sync(texts)) == 150


async def test_what_is_queued_is_finished_before_close_and_later_work_is_refused(
    tmp_path: Path, migrations: Path
) -> None:
    database = Database.open(tmp_path / "a.db", key=KEY, migrations=migrations)
    queued = [asyncio.ensure_future(database.write(inserting(f"{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    database.close()
    database.close()

    assert sorted(await asyncio.gather(*queued)) == list(range(1, 21))
    with pytest.raises(Unavailable):
        await database.write(texts)
    with pytest.raises(Unavailable):
        await database.read(texts)
    assert not (tmp_path / "a.db-wal").exists()


def test_the_file_is_private_and_holds_no_plain_text(tmp_path: Path, migrations: Path) -> None:
    path = tmp_path / "a.db"
    with Database.open(path, key=KEY, migrations=migrations) as database:
        database.write_sync(inserting("a secret sentence"))
        files = [path, tmp_path / "a.db-wal", tmp_path / "a.db-shm"]
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
        on_disk = b"".join(file.read_bytes() for file in files[:2])
    on_disk += path.read_bytes()

    assert b"a secret sentence" not in on_disk
    assert b"SQLite format 3" not in on_disk


def test_another_key_is_refused_with_a_sentence(tmp_path: Path, migrations: Path) -> None:
    path = tmp_path / "a.db"
    Database.open(path, key=KEY, migrations=migrations).close()

    with pytest.raises(Invalid, match="key does not open") as wrong:
        Database.open(path, key=b"\x08" * 32, migrations=migrations)
    assert wrong.value.code == "database_key_wrong"
    with pytest.raises(Invalid, match="no key was given"):
        Database.open(path, key=None, encrypt=False, migrations=migrations)
    with Database.open(path, key=KEY, migrations=migrations) as database:
        assert database.read_sync(texts) == []


@pytest.mark.parametrize(("key", "encrypt"), [(None, True), (b"short", True), (KEY, False)])
def test_a_key_must_be_given_or_expressly_not(
    tmp_path: Path, migrations: Path, key: bytes | None, encrypt: bool
) -> None:
    with pytest.raises(Invalid):
        Database.open(tmp_path / "a.db", key=key, encrypt=encrypt, migrations=migrations)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("where", ["missing/a.db", "."])
def test_a_path_that_cannot_be_opened_is_refused_with_a_sentence(tmp_path: Path, migrations: Path, where: str) -> None:
    with pytest.raises(Denied, match="cannot be opened"):
        Database.open(tmp_path / where, key=KEY, migrations=migrations)


def test_a_plain_database_can_be_had_expressly(tmp_path: Path, migrations: Path) -> None:
    Database.open(tmp_path / "a.db", key=None, encrypt=False, migrations=migrations).close()
    assert (tmp_path / "a.db").read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize(("version", "safe"), [("3.51.2", False), ("3.51.3", True), ("3.9.0", False), ("4.0.0", True)])
def test_an_unsafe_sqlite_is_refused(version: str, safe: bool) -> None:
    if safe:
        require_sqlite(version)
    else:
        with pytest.raises(Internal, match=r"3\.51\.3"):
            require_sqlite(version)


async def test_durability_is_set_on_every_connection(database: Database) -> None:
    def settings(connection: apsw.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum", "wal_autocheckpoint")
        return [connection.execute(f"pragma {name}").get for name in names]

    assert await database.write(settings) == ["wal", 2, 1, 2, 0]
    assert await database.read(settings) == ["wal", 2, 1, 2, 0]


async def test_macos_is_told_to_sync_to_the_platter(
    tmp_path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with Database.open(tmp_path / "a.db", key=KEY, migrations=migrations) as database:
        for name in ("fullfsync", "checkpoint_fullfsync"):
            assert await database.write(asking(f"pragma {name}")) == 1


async def test_the_log_stays_bounded_under_steady_writing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 100)
    monkeypatch.setattr(writer, "LOG_PAGES_MAX", 300)
    pages_of_a_work = 25  # 40,000 bytes in the table, the same again in its index
    for number in range(1_000, 1_300):
        await database.write(inserting(f"{number}" * 10_000))

    frame_bytes = 4096 + 24
    assert log_of(database).stat().st_size < (300 + 2 * pages_of_a_work) * frame_bytes


async def test_a_reader_that_stays_does_not_stop_the_writer_and_the_log_shrinks_behind_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 100)
    gate = Gate()

    def stay(connection: apsw.Connection) -> list[str]:
        before = texts(connection)
        gate.pass_through()
        return before

    reading = asyncio.ensure_future(database.read(stay))
    await asyncio.to_thread(gate.reached.wait, 30)
    for number in range(1_000, 1_050):
        await database.write(inserting(f"{number}" * 10_000))
    grown = log_pages(database)
    gate.open()
    assert await reading == []
    for number in range(2_000, 3_000):
        await database.write(inserting(f"{number}" * 10_000))
        if log_pages(database) < grown:
            break

    assert grown > 500
    assert log_pages(database) < grown


async def test_a_half_read_cursor_that_somebody_keeps_stops_no_checkpoint(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 1)
    for text in ("one", "two", "three"):
        await database.write(inserting(text))
    kept: list[object] = []

    def half(connection: apsw.Connection) -> None:
        rows = connection.execute("select text from notes")
        kept.append((rows, next(rows)))

    def failing(connection: apsw.Connection) -> None:
        half(connection)
        raise LookupError

    await database.write(half)
    with pytest.raises(LookupError):
        await database.write(failing)
    assert len(kept) == 2
    # It begins anew again and again; how soon depends on when the thread that moves it gets its turn.
    began_anew, before = 0, 0
    for number in range(1_000, 4_000):
        await database.write(inserting(f"{number}" * 10_000))
        pages = log_pages(database)
        began_anew, before = began_anew + (pages < before), pages
        if began_anew == 3:
            break
    assert began_anew == 3


def test_sqlite_refuses_a_checkpoint_beside_a_half_read_cursor(tmp_path: Path) -> None:
    """Why the writer closes cursors: without that the process would end at the next checkpoint."""
    connection = connect(Location(path=tmp_path / "a.db", key=KEY))
    connection.execute("create table t (x); insert into t values (1), (2)")
    rows = connection.execute("select x from t")
    next(rows)
    with pytest.raises(apsw.LockedError):
        connection.wal_checkpoint()
    rows.close(True)
    connection.wal_checkpoint()
    connection.close()


async def test_freed_pages_go_back_to_the_file_system(database: Database) -> None:
    for number in range(20):
        await database.write(inserting(f"{number}" * 50_000))
    full = await database.used_bytes()
    await database.write(lambda connection: connection.execute("delete from notes").get)

    assert await database.used_bytes() < full / 10
    await database.write(lambda connection: connection.execute("pragma incremental_vacuum(10000)").fetchall())
    pages = await database.read(lambda connection: int(connection.execute("pragma page_count").get))
    assert pages * 4096 < full / 10


async def test_integrity_check_names_a_row_that_points_nowhere(database: Database) -> None:
    assert await database.integrity_check() == ()

    other = connect(Location(path=database.path, key=KEY))
    other.execute("pragma foreign_keys = off; insert into marks values (99)")
    other.close()

    assert await database.integrity_check() == ("row 1 of marks points to no row of notes",)


async def test_a_lock_held_elsewhere_is_said_and_passes(
    tmp_path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BUSY_TIMEOUT", timedelta(milliseconds=10))
    with (
        Database.open(tmp_path / "a.db", key=KEY, migrations=migrations) as database,
        Database.open(tmp_path / "a.db", key=KEY, migrations=migrations) as other,
    ):
        gate = Gate()
        holding = asyncio.ensure_future(other.write(lambda connection: gate.pass_through()))
        await asyncio.to_thread(gate.reached.wait, 30)
        with pytest.raises(Unavailable, match="write lock"):
            await database.write(inserting("blocked"))
        gate.open()
        await holding
        assert await database.write(inserting("free")) == 1
