"""A task's lines out of the logs on this machine, the renamed and compressed ones too; needs nothing that runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from foundation.log_files import files_of, older_of, open_log


def lines_of_task(logs: Path, task_id: str) -> Iterator[bytes]:
    """What a task printed, line by line, as far as logs of agents still hold it; the time of each line is left out."""
    mark = f" {task_id} ".encode()
    for log in _agent_logs(logs):
        for path in files_of(log):
            try:
                with open_log(path) as file:
                    for line in file:
                        time, found, text = line.partition(mark)
                        if found and b" " not in time:
                            yield text
            except FileNotFoundError:
                continue  # removed to make room meanwhile


def _agent_logs(logs: Path) -> list[Path]:
    if not logs.is_dir():
        return []
    names = {path.name for path in logs.glob("agent_*.log")}
    names |= {older.log for name in os.listdir(logs) if (older := older_of(name)) and name.startswith("agent_")}
    return [logs / name for name in sorted(names)]
