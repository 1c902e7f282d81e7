"""What /proc says of one process."""

from __future__ import annotations


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
