"""Something small that the supervisor does itself, from time to time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foundation.errors import QuantumError
from foundation.log import Logger


@dataclass(slots=True, kw_only=True)
class Chore:
    """`work` every `pause_seconds`; one that fails is told in the log and tried again the next time."""

    name: str
    pause_seconds: float
    work: Callable[[], None]
    due_at: float
    """Seconds of boot time."""

    def do_when_due(self, boottime: float, log: Logger) -> None:
        """Do it if its time has come."""
        if boottime < self.due_at:
            return
        self.due_at = boottime + self.pause_seconds
        try:
            self.work()
        except (QuantumError, OSError) as error:
            log.error(f"{self.name} failed: {error}", action="chore_failed", chore=self.name)
