"""Files that are replaced whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from foundation.files import atomic_write, write_all


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "export.json"
    atomic_write(path, b"old", 0o644, durable=durable)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    before = path.stat().st_ino
    atomic_write(path, b"new", 0o600, durable=durable)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert path.stat().st_ino != before
    assert os.listdir(tmp_path) == ["export.json"]


def test_a_write_that_fails_leaves_the_old_file_and_no_scrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "export.json"
    atomic_write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["export.json"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"keep me")
    (tmp_path / "export.json").symlink_to(tmp_path / "precious")
    atomic_write(tmp_path / "export.json", b"new")
    assert (tmp_path / "precious").read_bytes() == b"keep me"
    assert not (tmp_path / "export.json").is_symlink()


def test_everything_is_synced_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_sync(descriptor)

    def replace(old: str, new: Path) -> None:
        events.append("name")
        real_replace(old, new)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    atomic_write(tmp_path / "x", b"data")
    assert events == ["file", "name", "folder"]
    events.clear()
    atomic_write(tmp_path / "x", b"data", durable=False)
    assert events == ["name"]


def test_a_write_that_stops_half_way_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    got = bytearray()

    def slow(descriptor: int, data: memoryview) -> int:
        got.extend(data[:3])
        return min(3, len(data))

    monkeypatch.setattr(os, "write", slow)
    write_all(-1, b"0123456789")
    assert got == b"0123456789"
