"""What people and other programs do to the folder of the logs: none of it stops what is logged next."""

from __future__ import annotations

import asyncio
import errno
import shutil
from pathlib import Path

import pytest

from foundation import log_keeping
from foundation.clock import SystemClock
from foundation.log import get_logger
from foundation.log_files import LogFile, files_of, older_of, open_log
from foundation.log_keeping import LogKeeper
from services.agent_runner.adapters.agent_logs import LogFiles

LOG = get_logger("test")


def _read(log: Path) -> list[bytes]:
    return [line for path in files_of(log) for line in open_log(path).read().splitlines()]


def _fill(log: Path, lines: int) -> None:
    file = LogFile(log, bytes_max=64, files_max=50)
    for number in range(lines):
        file.append(f"{number:04} {'x' * 20}\n".encode())


def test_a_folder_that_was_cleared_away_is_there_again_with_the_next_line(tmp_path: Path) -> None:
    folder = tmp_path / "ws" / "logs"
    folder.mkdir(parents=True)
    kept = LogFile(folder / "system.log", bytes_max=1000, files_max=3, stays_open=True)
    for text in (b"one\n", b"two\n"):
        kept.append(text)
        LogFile(folder / "agent_a.log", bytes_max=1000, files_max=3).append(text)
        shutil.rmtree(folder)
    kept.append(b"three\n")
    assert _read(folder / "system.log") == [b"three"]
    shutil.rmtree(tmp_path / "ws")
    with pytest.raises(FileNotFoundError):
        kept.append(b"four\n")
    assert not (tmp_path / "ws").exists(), "a workspace that was removed stays so"


@pytest.mark.parametrize(
    "stamp",
    ["20261399-999999-999", "99991231-235959-999", "00000000-000000-000", "20260230-101010-101", "٢٠٢٦0101-101010-101"],
)
def test_a_name_that_only_looks_like_ours_stops_no_renaming(stamp: str, tmp_path: Path) -> None:
    log = tmp_path / "agent_a.log"
    (tmp_path / f"agent_a.log.{stamp}").write_bytes(b"somebody's\n")
    _fill(log, 9)
    ours = [path for path in files_of(log) if stamp not in path.name]
    assert len(ours) == 5 and len([line for line in _read(log) if b"x" in line]) == 9
    assert (tmp_path / f"agent_a.log.{stamp}").read_bytes() == b"somebody's\n"
    assert older_of("agent_a.log.20260228-101010-101") is not None


def test_the_lock_that_went_with_the_folder_is_not_held_any_more(tmp_path: Path) -> None:
    first = LogKeeper(tmp_path, LOG, bytes_max=1 << 20, files_max=50)
    second = LogKeeper(tmp_path, LOG, bytes_max=1 << 20, files_max=50)
    _fill(tmp_path / "agent_a.log", 4)
    assert (first.compress_all() > 0, second.compress_all()) == (True, 0)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    _fill(tmp_path / "agent_a.log", 4)
    assert second.compress_all() > 0
    _fill(tmp_path / "agent_a.log", 4)
    assert first.compress_all() == 0, "the other one compresses now; two would write one archive"
    first.close()
    second.close()


async def test_one_log_of_another_user_keeps_no_other_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = log_keeping.rename_now

    def refused(path: str) -> bool:
        if path.endswith("system.log"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(path)

    monkeypatch.setattr(log_keeping, "rename_now", refused)
    (tmp_path / "system.log").write_bytes(b"x" * 600_000)
    keeper = LogKeeper(tmp_path, LOG, bytes_max=1 << 20, files_max=50)
    logs = LogFiles(tmp_path, SystemClock(), asyncio.get_running_loop(), bytes_max=50_000, files_max=50, keeper=keeper)
    for number in range(300):
        logs.write("a", "task", f"{number:04} {'x' * 3000}\n")
        logs.flush()
    found = _read(tmp_path / "agent_a.log")
    assert not [line for line in found if b"could not be written" in line]
    assert found[-1].split()[2] == b"0299" and 50 < len(found) < 300, "and the quota is kept"
    assert sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir()) <= (1 << 20) * 1.05
