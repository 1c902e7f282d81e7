"""Counts failed attempts to authenticate, so that guessing is slowed and a good token never is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import timedelta

SOURCE_MAX = 20
OVERALL_MAX = 100
WINDOW = timedelta(seconds=60)
_SOURCES_MAX = 1_000


class FailedAttempts:
    """A leaky bucket per source and one over all; only failures are counted, and only failures are told to wait.

    Every token that is shown is still looked at: refusing to look would lock its owner out together with the guesser.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._overall = (0.0, 0.0)

    def record(self, source: str, *, at: float) -> timedelta | None:
        """Counts a failure at `at` (seconds since boot); when to come back if that was one too many."""
        with self._lock:
            level = self._sources.pop(source, (0.0, at))
            self._sources[source] = level = _poured(level, at, SOURCE_MAX)
            if len(self._sources) > _SOURCES_MAX:
                self._sources.popitem(last=False)
            self._overall = _poured(self._overall, at, OVERALL_MAX)
            waits = (_wait(level[0], SOURCE_MAX), _wait(self._overall[0], OVERALL_MAX))
        longest = max(waits)
        return timedelta(seconds=longest) if longest > 0 else None


def _poured(level: tuple[float, float], at: float, size: int) -> tuple[float, float]:
    """A bucket of (filling, time of it) after what has leaked and one more; never above its rim plus one."""
    filling, since = level
    leaked = max(0.0, filling - (at - since) * size / WINDOW.total_seconds())
    return min(leaked + 1, size + 1), at


def _wait(filling: float, size: int) -> float:
    """Seconds until there is room again; 0 when there is."""
    return max(0.0, filling - size) * WINDOW.total_seconds() / size
