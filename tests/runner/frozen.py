"""Whether a process has been made to stand still, by a signal or by its cgroup."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

V2 = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")


def stands_still(pid: int) -> bool:
    """A frozen cgroup leaves its processes in the state in which they sleep; false when the process has gone."""
    with suppress(OSError):
        # D: a shell that was caught between its vfork and the exec of its child, which is the one that is stopped.
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TD":
            return True
        own = next(line[3:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))
        return any("frozen 1" in _text(Path(f"{mount}{own}/cgroup.events")) for mount in V2)
    return False


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
