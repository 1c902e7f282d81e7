"""`quantum logs --logged`: a task's lines out of every log on this machine, compressed ones too."""

from __future__ import annotations

from pathlib import Path

from foundation.log import get_logger
from foundation.log_files import LogFile
from foundation.log_keeping import LogKeeper
from tests.cli.conftest import Quantum

TASK, OTHER = "01m8hrw0qqdxh0x1rncmaxbaxy", "01m8hrw0qqdxh0x1rncmaxbaxz"


def test_the_lines_of_one_task_are_found_wherever_they_are(quantum: Quantum, folder: Path) -> None:
    logs = folder / "logs"
    keeper = LogKeeper(logs, get_logger("test"), bytes_max=1 << 30, files_max=100)
    log = LogFile(logs / "agent_build.log", bytes_max=2_000, files_max=100)
    for number in range(200):
        task = (TASK, OTHER)[number % 2]
        log.append(f"2026-01-01T00:00:00.000Z {task} {number} says {OTHER if task == TASK else TASK} x\n".encode())
    assert keeper.compress_all() > 5
    keeper.close()
    expected = "".join(f"{number} says {OTHER} x\n" for number in range(0, 200, 2))
    assert quantum("logs", TASK, "--logged").out == expected
    assert quantum("logs", TASK, "--logged", "--json").document["output"] == expected
    (logs / "agent_build.log").unlink()
    assert quantum("logs", TASK, "--logged").out.startswith(f"0 says {OTHER} x\n2 says")


def test_what_no_log_has_is_said(quantum: Quantum) -> None:
    missing = quantum("logs", TASK, "--logged")
    assert missing.code != 0
    assert "has a line of task" in missing.err and "→" in missing.err
