"""A database's key is changed whole or not at all, wherever the process is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import Conflict, Invalid, QuantumError
from foundation.sqlite.connection import Location, connect
from foundation.sqlite.pages import key_fits
from foundation.sqlite.rekey import rekey
from tests.foundation.rekey_trial import NEW, OLD, ROWS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one row, closed."""
    path = tmp_path / "t.db"
    connection = connect(Location(path=path, key=OLD))
    connection.execute("create table t (x); insert into t values (7)")
    connection.close()
    return path


def value(path: Path, key: bytes) -> object:
    connection = connect(Location(path=path, key=key))
    try:
        return connection.execute("select x from t").get
    finally:
        connection.close()


def test_the_new_key_opens_it_and_the_old_one_does_not(path: Path) -> None:
    assert rekey(path, OLD, NEW)
    assert value(path, NEW) == 7
    with pytest.raises(QuantumError):
        value(path, OLD)
    assert (key_fits(path, OLD), key_fits(path, NEW)) == (False, True)
    assert not rekey(path, OLD, NEW)
    assert [file.name for file in path.parent.iterdir()] == ["t.db"]


def test_what_belongs_in_the_new_one_is_written_before_it_takes_its_place(path: Path) -> None:
    assert rekey(path, OLD, NEW, finish=lambda connection: connection.execute("update t set x = 8"))
    assert value(path, NEW) == 8


def test_a_third_key_is_refused_and_nothing_is_changed(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(Invalid):
        rekey(path, b"\x03" * 32, NEW)
    assert path.read_bytes() == before


def test_what_somebody_has_open_is_left_alone(path: Path) -> None:
    """Somebody in another process: one that runs, or that was forgotten."""
    script = (
        "import sys; from pathlib import Path; from foundation.sqlite.connection import *\n"
        f"c = connect(Location(path=Path({str(path)!r}), key={OLD!r})); c.execute('select * from t').fetchall()\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert other.stdin is not None and other.stdout is not None
    assert other.stdout.readline() == b"open\n"
    with pytest.raises(Conflict):
        rekey(path, OLD, NEW)
    other.communicate()
    assert rekey(path, OLD, NEW)


def test_no_key_fits_what_is_not_there_or_is_no_database(tmp_path: Path) -> None:
    assert not key_fits(tmp_path / "none.db", OLD)
    (tmp_path / "rubbish.db").write_bytes(b"x" * 5_000)
    assert not key_fits(tmp_path / "rubbish.db", OLD)


def killed_at_each_step(folder: Path, *options: str) -> list[dict[str, Any]]:
    """What the trial found after each kill; the last line is of the child that came to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.foundation.rekey_trial", str(folder), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=250,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_at_each_step_one_of_the_two_keys_opens_it_and_no_row_is_lost(tmp_path: Path) -> None:
    found = killed_at_each_step(tmp_path)
    kills = [one for one in found if one["killed"]]
    assert [one for one in found if one["rows"] != ROWS or one["key"] is None] == []
    assert {one["key"] for one in kills} == {"old", "new"}
    assert (found[-1]["killed"], found[-1]["key"]) == (False, "new")
    print(f"killed at {len(kills)} steps; the new key was in force after {[one['key'] for one in kills].count('new')}")


def test_written_in_place_it_would_be_lost(tmp_path: Path) -> None:
    """The control: the same trial with a copy that does not take the file's place at once."""
    assert [one for one in killed_at_each_step(tmp_path, "in-place") if one["rows"] != ROWS]
