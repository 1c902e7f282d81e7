"""`quantum rotate logs`: what begins anew, what is compressed, and that a dry run changes nothing."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

from foundation.log_files import LogFile, files_of, open_log
from tests.cli.conftest import Quantum


def _log(folder: Path, name: str, text: bytes) -> LogFile:
    (folder / "logs").mkdir(exist_ok=True)
    log = LogFile(folder / "logs" / name, bytes_max=1 << 20, files_max=10, stays_open=True)
    log.append(text)
    return log


def test_every_log_begins_anew_under_whoever_writes_to_it(quantum: Quantum, folder: Path) -> None:
    writer = _log(folder, "system.log", b"one\n" * 1000)
    _log(folder, "agent_build.log", b"two\n")
    (folder / "logs" / "agent_never.log").touch()
    done = quantum("rotate", "logs", "--json").document
    assert (done["renamed"], done["compressed"], done["left"], done["removed"]) == (2, 2, 0, 0)
    writer.append(b"three\n")
    older, newest = files_of(folder / "logs" / "system.log")
    assert gzip.decompress(older.read_bytes()) == b"one\n" * 1000 and newest.read_bytes() == b"three\n"
    assert older.stat().st_mode & 0o777 == 0o600
    assert "1 logs begin anew" in quantum("rotate", "logs").out


def test_a_dry_run_says_what_there_is_and_changes_nothing(quantum: Quantum, folder: Path) -> None:
    _log(folder, "system.log", b"one\n")
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "logs").iterdir()}
    done = quantum("rotate", "logs", "--dry-run", "--json").document
    assert done["logs"] == 1 and done["bytes"] > 0
    assert "1 logs would begin anew" in quantum("rotate", "logs", "--dry-run").out
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "logs").iterdir()} == before


def test_beyond_the_quota_the_oldest_go(quantum: Quantum, folder: Path) -> None:
    (folder / "config" / "agent_config.json").write_text(json.dumps({"logs_bytes_max": "1MB"}))
    _log(folder, "agent_a.log", b"x\n")
    log, chance = LogFile(folder / "logs" / "agent_a.log", bytes_max=65536, files_max=99), random.Random(1)
    for number in range(40):
        log.append(b"%d " % number + chance.randbytes(60_000) + b"\n")
    said = quantum("rotate", "logs").out
    assert "The oldest" in said and "logs_bytes_max" in said
    assert sum(path.stat().st_blocks * 512 for path in (folder / "logs").iterdir()) <= 1 << 20
    kept = [open_log(path).read() for path in files_of(folder / "logs" / "agent_a.log")]
    assert kept[-1].startswith(b"39 ")
