"""Which processes of this machine are this workspace's services, as their supervisor wrote them down."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path


class OwnServices:
    """Reads the supervisor's file again whenever it has changed; without one there is only this process."""

    def __init__(self, runtime: Path) -> None:
        self._runtime = runtime
        self._seen = (0, 0)
        self._pids: frozenset[int] = frozenset()

    def pids(self) -> Collection[int]:
        """Pids, this process's own among them. Good for a figure, not for a signal: one may have been used again."""
        try:
            status = self._runtime.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._seen:
                document = json.loads(self._runtime.read_bytes())
                self._pids = frozenset(int(one["pid"]) for one in document["processes"].values())
                self._seen = seen
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Removed, being replaced, or started by something else than `quantum up`: then they count as others.
            self._pids, self._seen = frozenset(), (0, 0)
        return self._pids | {os.getpid()}
