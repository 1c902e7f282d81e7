"""An independent look at the services that run: by /proc alone, whatever Quantum itself says."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path


def services_of(root: Path) -> dict[str, list[int]]:
    """The first processes, leaders of their sessions, of the attempts of this workspace, by agent."""
    found: dict[str, list[int]] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        try:
            environ = Path(entry.path, "environ").read_bytes()
            if f"QUANTUM_WORKSPACE={root}\0".encode() not in environ or os.getsid(pid) != pid:
                continue
            # A question with --health is no second one of it.
            asked = b"--health" in Path(entry.path, "cmdline").read_bytes()
        except (OSError, ProcessLookupError):
            continue
        variables = dict(line.split(b"=", 1) for line in environ.split(b"\0") if b"=" in line)
        if b"QUANTUM_TASK_ID" in variables and not asked:
            found.setdefault(variables[b"QUANTUM_AGENT"].decode(), []).append(pid)
    return found


class Observer:
    """Counts again and again, in a thread of its own; `most` is the largest count that was seen of each name."""

    def __init__(self, root: Path, every_seconds: float = 0.05) -> None:
        self._root = root
        self._every_seconds = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.looks = 0
        self.most: Counter[str] = Counter()
        self.pids: dict[str, set[int]] = {}

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(self._every_seconds):
            self.looks += 1
            for agent, pids in services_of(self._root).items():
                self.most[agent] = max(self.most[agent], len(pids))
                self.pids.setdefault(agent, set()).update(pids)
