"""The end of a log file and what comes after it, over rotation and truncation."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.tailing import Tail
from tests.cli.conftest import Quantum


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of three lines."""
    log = tmp_path / "agent_build.log"
    log.write_text("one\ntwo\nthree\n")
    return log


def append(path: Path, text: str) -> None:
    """As a runner does."""
    with path.open("a") as file:
        file.write(text)


def test_the_last_lines_then_what_comes(path: Path) -> None:
    tail = Tail(path)
    assert tail.last(2) == [b"two", b"three"]
    assert list(tail.more()) == []
    append(path, "four\nfi")
    assert list(tail.more()) == [b"four"]
    append(path, "ve\n")
    assert list(tail.more()) == [b"five"]


def test_a_large_file_is_read_from_its_end(path: Path) -> None:
    append(path, "".join(f"{number:070}\n" for number in range(20_000)))
    assert Tail(path).last(2000) == [f"{number:070}".encode() for number in range(18_000, 20_000)]


def test_rotation_loses_nothing(path: Path) -> None:
    tail = Tail(path)
    tail.last(0)
    append(path, "four\n")
    path.rename(path.with_suffix(".1"))
    path.write_text("five\n")
    assert list(tail.more()) == [b"four", b"five"]


def test_a_file_that_is_cut_off_is_read_anew(path: Path) -> None:
    tail = Tail(path)
    tail.last(0)
    path.write_text("new\n")
    assert list(tail.more()) == [b"new"]


def test_a_file_that_comes_later(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "later.log")
    assert tail.last(5) == []
    (tmp_path / "later.log").write_text("there\n")
    assert list(tail.more()) == [b"there"]


def test_follow_as_the_runbook_types_it(quantum: Quantum, folder: Path) -> None:
    (folder / "logs").mkdir()
    (folder / "logs" / "agent_build.log").write_text("one\ntwo\n")
    assert quantum("follow", "--agent", "alias", "--no-follow", "--lines", "1").out == "two\n"
    assert quantum("follow", "build", "--json").document == {"agent": "build", "lines": ["one", "two"]}
    assert quantum("follow", "../build", "--no-follow").code == 65
