"""The end of a log file and what comes after it, over rotation and truncation."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.logs.tailing import Tail
from foundation.log import get_logger
from foundation.log_files import LogFile, files_of
from foundation.log_keeping import LogKeeper
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


def numbered(first: int, count: int) -> list[bytes]:
    """Lines as long as a log's, each with its number."""
    return [b"%06d %s" % (number, b"x" * 80) for number in range(first, first + count)]


class Kept:
    """A log that is written to, renamed and compressed, as its runner does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "agent_build.log"
        self.log = LogFile(self.path, bytes_max=10_000, files_max=1_000)
        self.keeper = LogKeeper(folder, get_logger("test"), bytes_max=1 << 30, files_max=1_000)
        self.written = 0

    def write(self, count: int) -> None:
        """So many lines more."""
        for line in numbered(self.written, count):
            self.log.append(line + b"\n")
        self.written += count


def test_the_last_lines_are_found_in_what_was_compressed(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.write(1_000)
    assert kept.keeper.compress_all() > 5
    assert Tail(kept.path).last(700) == numbered(300, 700)
    assert Tail(kept.path).last(5_000) == numbered(0, 1_000)


@pytest.mark.parametrize("compress", [False, True])
def test_a_reader_that_is_late_by_many_renamings_misses_none(tmp_path: Path, compress: bool) -> None:
    kept = Kept(tmp_path)
    kept.write(50)
    tail = Tail(kept.path)
    seen, renamed = tail.last(1_000), 0
    for count in (30, 1, 400, 90, 2_000, 10):
        kept.write(count)
        renamed += kept.keeper.compress_all() if compress else 0
        seen += tail.more()
    print(f"{renamed} compressed under the reader")
    assert seen == numbered(0, kept.written)
    assert not compress or renamed > 10


def test_what_was_removed_to_make_room_is_missed_and_the_rest_is_read_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.write(50)
    tail = Tail(kept.path)
    seen = tail.last(1_000)
    kept.write(2_000)
    kept.keeper.compress_all()
    gone = files_of(kept.path)[:5]
    for path in gone:
        path.unlink()
    seen += tail.more()
    kept.write(3)
    seen += tail.more()
    numbers = [int(line[:6]) for line in seen]
    assert len(set(numbers)) == len(numbers) and numbers == sorted(numbers)
    assert numbers[-1] == kept.written - 1 and 200 < kept.written - len(numbers) < 700
