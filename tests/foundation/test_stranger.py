"""A program that is not ours opens a living database; what was committed must not go with its write-ahead log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from foundation.sqlite.database import Database

KEY = b"\x07" * 32

STRANGER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
try:
    connection.execute("select * from sqlite_master").fetchall()
except sqlite3.DatabaseError:
    pass
connection.close()
"""


def test_a_stranger_does_not_take_the_log_of_a_living_database_away(tmp_path: Path) -> None:
    migrations, log = tmp_path / "migrations", tmp_path / "a.db-wal"
    migrations.mkdir()
    (migrations / "0001_notes.sql").write_text("create table notes (text text not null) strict;")
    with Database.open(tmp_path / "a.db", key=KEY, migrations=migrations) as database:
        database.write_sync(lambda connection: connection.execute("insert into notes values ('kept')"))
        before = log.stat().st_ino
        subprocess.run([sys.executable, "-c", STRANGER, str(database.path)], check=True, timeout=60)
        assert log.stat().st_ino == before
