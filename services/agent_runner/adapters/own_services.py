"""Which processes of this machine are this workspace's services, as was written down at their start."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any


class OwnServices:
    """Reads again what was written down whenever that has changed; without it there is only this process."""

    def __init__(self, runtime: Path, units: Path) -> None:
        """`runtime` is the file of the supervisor, `units` the folder of the records of units."""
        self._runtime = runtime
        self._units = units
        self._seen: tuple[object, ...] = ()
        self._pids: frozenset[int] = frozenset()

    def pids(self) -> Collection[int]:
        """Pids, this process's own among them. Good for a figure, not for a signal: one may have been used again."""
        seen = (_changed(self._runtime), _changed(self._units))
        if seen != self._seen:
            supervised = (one for document in _read(self._runtime) for one in document["processes"].values())
            records = (document for path in self._units.glob("*.json") for document in _read(path))
            try:
                self._pids = frozenset(int(one["pid"]) for one in (*supervised, *records))
                self._seen = seen
            except (ValueError, KeyError, TypeError, AttributeError):
                self._pids, self._seen = frozenset(), ()  # not ours, or damaged: then they count as others
        return self._pids | {os.getpid()}


def _changed(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def _read(path: Path) -> list[Any]:
    """The document of a file; none when it is away or being replaced."""
    try:
        return [json.loads(path.read_bytes())]
    except (OSError, ValueError):
        return []
