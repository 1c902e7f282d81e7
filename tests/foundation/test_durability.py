"""Nobody hears that a write is done before its bytes were synced, and a failed sync ends the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from foundation.errors import Internal, Unavailable
from foundation.sqlite.connection import Synchronous
from foundation.sqlite.database import EXIT_DATABASE_FAILED, Database
from tests.foundation.recording_vfs import Gate, RecordingVfs

KEY = b"\x07" * 32


@pytest.fixture
def vfs() -> RecordingVfs:
    return RecordingVfs()


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_notes.sql").write_text("create table notes (text text not null) strict;")
    return folder


def insert(connection: apsw.Connection) -> None:
    connection.execute("insert into notes values ('a note')")


def replies_before_sync(events: list[str]) -> int:
    """Count the replies before which the log was not both written and synced since their work was done.

    Looks at each reply from its own work on: the writer may well be at the next commit when a reply arrives.
    """
    early = 0
    for position, event in enumerate(events):
        if event.startswith("reply "):
            between = events[events.index(event.replace("reply", "work")) : position]
            written = between.index("write wal") if "write wal" in between else len(between)
            early += "sync wal" not in between[written:]
    return early


async def events_of_writes(vfs: RecordingVfs, path: Path, migrations: Path, synchronous: Synchronous) -> list[str]:
    with Database.open(path, key=KEY, migrations=migrations, synchronous=synchronous, vfs=vfs.full_name) as database:
        vfs.events.clear()

        async def ask(number: int) -> None:
            def work(connection: apsw.Connection) -> None:
                insert(connection)
                vfs.note(f"work {number}")

            await database.write(work)
            vfs.note(f"reply {number}")

        for first in range(0, 100, 5):
            await asyncio.gather(*(ask(number) for number in range(first, first + 5)))
        return list(vfs.events)


async def test_every_reply_comes_after_the_sync_of_the_log(vfs: RecordingVfs, tmp_path: Path, migrations: Path) -> None:
    events = await events_of_writes(vfs, tmp_path / "a.db", migrations, "FULL")

    assert sum(event.startswith("reply ") for event in events) == 100
    assert events.count("sync wal") >= 20
    assert replies_before_sync(events) == 0


@pytest.mark.parametrize("weaker", ["NORMAL", "OFF"])
async def test_the_measure_sees_a_database_that_does_not_sync_its_commits(
    vfs: RecordingVfs, tmp_path: Path, migrations: Path, weaker: Synchronous
) -> None:
    events = await events_of_writes(vfs, tmp_path / "a.db", migrations, weaker)

    assert events.count("write wal") > 0
    assert replies_before_sync(events) > 90


async def test_no_reply_while_the_sync_is_held_back(vfs: RecordingVfs, tmp_path: Path, migrations: Path) -> None:
    gate = Gate()
    with Database.open(tmp_path / "a.db", key=KEY, migrations=migrations, vfs=vfs.full_name) as database:
        vfs.on_sync = lambda file: gate.pass_through()
        asked = [asyncio.ensure_future(database.write(insert)) for _ in range(3)]
        await asyncio.to_thread(gate.reached.wait, 30)
        for _ in range(10):  # a reply sent too early would be delivered by now: its wake-up came before the gate
            await asyncio.sleep(0)
        told_early = [future.done() for future in asked]
        gate.open()
        await asyncio.gather(*asked)

    assert told_early == [False, False, False]


async def test_a_failed_sync_is_fatal_and_nobody_hears_that_the_write_is_done(
    vfs: RecordingVfs, tmp_path: Path, migrations: Path
) -> None:
    deaths: list[BaseException] = []

    def fail(file: str) -> None:
        raise apsw.IOError("the disk is gone")

    database = Database.open(
        tmp_path / "a.db", key=KEY, migrations=migrations, vfs=vfs.full_name, on_fatal=deaths.append
    )
    vfs.on_sync = fail
    with pytest.raises(Internal, match="not known"):
        await database.write(insert)
    vfs.on_sync = lambda file: None

    assert [type(death) for death in deaths] == [apsw.IOError]
    with pytest.raises(Unavailable):
        await database.write(insert)
    database.close()


async def test_a_failed_sync_of_a_checkpoint_is_fatal_too(vfs: RecordingVfs, tmp_path: Path, migrations: Path) -> None:
    deaths: list[BaseException] = []
    died = asyncio.Event()
    loop = asyncio.get_running_loop()

    def die(error: BaseException) -> None:
        deaths.append(error)
        loop.call_soon_threadsafe(died.set)

    def fail_on_database(file: str) -> None:
        if file == "database":
            raise apsw.IOError("the disk is gone")

    database = Database.open(tmp_path / "a.db", key=KEY, migrations=migrations, vfs=vfs.full_name, on_fatal=die)
    vfs.on_sync = fail_on_database
    await database.write(lambda connection: connection.execute("insert into notes values (hex(zeroblob(10000000)))"))
    await asyncio.wait_for(died.wait(), 60)
    vfs.on_sync = lambda file: None

    assert [type(death) for death in deaths] == [apsw.IOError]
    database.close()


DYING = """
import apsw, sys
from pathlib import Path
from foundation.sqlite.database import Database
from tests.foundation.recording_vfs import RecordingVfs

def fail(file):
    raise apsw.IOError("the disk is gone")

vfs = RecordingVfs()
database = Database.open(Path(sys.argv[1]), key=bytes(32), migrations=Path(sys.argv[2]), vfs=vfs.full_name)
vfs.on_sync = fail
database.write_sync(lambda connection: connection.execute("insert into notes values ('lost')"))
print("told that it is done")
"""


def test_a_failed_sync_ends_the_process(tmp_path: Path, migrations: Path) -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path / "a.db"), str(migrations)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == EXIT_DATABASE_FAILED, ended.stderr
    assert ended.stdout == ""
    assert "The database failed" in ended.stderr
