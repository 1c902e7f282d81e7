"""What /proc on Linux tells of one process; of one that has gone, that it has."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def boot_id() -> str:
    """Identity of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def stat_fields(pid: int) -> list[bytes] | None:
    """Fields of /proc/<pid>/stat from the third (state) on; None when the process has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            line = file.read(1024)
    except OSError:
        return None
    # The name may hold blanks and brackets: the last bracket ends it.
    return line[line.rfind(b")") + 2 :].split()


def started_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it has gone."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields and len(fields) > 19 else None


def token(pid: int) -> str:
    """The value of QUANTUM_RUN that a process was started with; empty when it had none or cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            environ = file.readall()
    except OSError:
        return ""
    _, _, after = (b"\0" + environ).partition(b"\0QUANTUM_RUN=")
    return after.partition(b"\0")[0].decode("ascii", "replace")


def name_of(pid: int) -> str:
    """Its short name; "?" when it has gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            return file.read(64).decode("utf-8", "replace").strip()
    except OSError:
        return "?"


def children_of(pid: int) -> list[int]:
    """The children of all threads of a process."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
            found += map(int, file.readall().split())
    return found


def proportional_bytes(pid: int) -> int:
    """Its memory, what it shares counted in parts; 0 when that cannot be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
