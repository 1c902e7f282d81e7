"""The order to stop, as a file."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foundation.stop_file import StopFile, StopOrder

NOW = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)


def test_a_stop_order_is_given_once_read_and_taken_back(tmp_path: Path) -> None:
    stop = StopFile(tmp_path / ".quantum" / "STOP")
    assert (stop.read(), stop.is_set(), stop.clear()) == (None, False, False)
    order = stop.write(who="ada", why="it burns\nbadly", now=NOW)
    assert order == StopOrder(who="ada", why="it burns\nbadly", at=NOW)
    assert stop.is_set()
    assert stop.write(who="bob", why="too late", now=NOW) == order == stop.read()
    assert stat.S_IMODE((tmp_path / ".quantum" / "STOP").stat().st_mode) == 0o600
    assert stop.clear()
    assert (stop.read(), stop.is_set()) == (None, False)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it does not say"),
        (b"stop now!\n", "stop now!"),
        (b'{"who": "ada"', '{"who": "ada"'),
        (b"[1]", "[1]"),
        (b'{"who": "ada", "why": "x", "at": 5}', '{"who": "ada", "why": "x", "at": 5}'),
        (b"\xff\x00", "\N{REPLACEMENT CHARACTER}\0"),
    ],
)
def test_whatever_is_in_the_file_it_means_stop(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "STOP").write_bytes(content)
    stop = StopFile(tmp_path / "STOP")
    assert stop.is_set()
    assert stop.read() == StopOrder(who="unknown", why=why, at=None)


def test_a_file_that_cannot_be_read_means_stop(tmp_path: Path) -> None:
    (tmp_path / "STOP").mkdir()
    assert StopFile(tmp_path / "STOP").is_set()
    order = StopFile(tmp_path / "STOP").read()
    assert order is not None and "cannot be read" in order.why
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert StopFile(tmp_path / "dangling").is_set()
    assert StopFile(tmp_path / "dangling").read() is not None


def test_the_order_is_synced_and_so_is_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def recording(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        synced.append("folder" if stat.S_ISDIR(mode) else "file")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    stop = StopFile(tmp_path / "STOP")
    stop.write(who="ada", why="test", now=NOW)
    assert synced == ["file", "folder"]
    stop.clear()
    assert synced == ["file", "folder", "folder"]
