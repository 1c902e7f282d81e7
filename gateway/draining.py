"""The end: when the gateway is told to stop, open streams end at once, so that the server can."""

from __future__ import annotations

import threading
from datetime import timedelta


class Drain:
    """A flag that goes up once; streams look at it at every tick."""

    def __init__(self) -> None:
        self._begun = threading.Event()

    @property
    def begun(self) -> bool:
        """Whether open streams are to end."""
        return self._begun.is_set()

    def wait(self, time: timedelta) -> bool:
        """Waits until the flag is up, at most this long; whether it is."""
        return self._begun.wait(time.total_seconds())

    def begin(self) -> None:
        """Raises the flag."""
        self._begun.set()
