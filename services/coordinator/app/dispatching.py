"""What the verbs need of dispatch."""

from collections.abc import AsyncIterator
from typing import Protocol

from services.coordinator.domain.fleet import FleetView
from services.coordinator.domain.placement import Need
from services.coordinator.domain.task import Task


class Dispatching(Protocol):
    """Dispatch, as those see it who ask about it or hold it."""

    def fleet(self) -> FleetView:
        """A snapshot for people."""

    def need_of(self, task: Task) -> Need:
        """What a task asks of its runner, as placement decides by it."""

    def follow(self, task: Task, offset: int, follow: bool) -> AsyncIterator[tuple[bytes, int]]:
        """Yield output as (data, offset after it); ends with the attempt. Raises Unavailable without its runner."""

    def set_queue_paused(self, reason: str) -> None:
        """Hold the whole queue, or let it go ("")."""
