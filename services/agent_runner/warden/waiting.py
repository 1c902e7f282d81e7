"""Starts that wait in the warden for room, so that the next script begins the moment one has ended."""

from __future__ import annotations

from collections.abc import Collection

from services.agent_runner.warden.attempt import Attempt
from services.agent_runner.warden.protocol import Start
from services.agent_runner.warden.spawn import Prepared


class Waiting:
    """A start that waits; its lease is renewed meanwhile like any other."""

    __slots__ = ("lease", "prepared", "renewed_at", "start")

    def __init__(self, start: Start, prepared: Prepared) -> None:
        self.start = start
        self.prepared = prepared
        self.renewed_at = start.leased_at
        self.lease = start.lease


class Queue:
    """Waiting starts, longest first; `slots` is how many attempts run at the same time."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._waiting: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, waiting: Waiting) -> None:
        """Behind all others."""
        self._waiting[waiting.start.key] = waiting

    def find(self, key: str) -> Waiting | None:
        """The waiting start of an attempt."""
        return self._waiting.get(key)

    def withdraw(self, key: str) -> bool:
        """Take one out; false when it does not wait here."""
        return self._waiting.pop(key, None) is not None

    def withdraw_all(self) -> list[str]:
        """Take all out; returns their keys."""
        keys = list(self._waiting)
        self._waiting.clear()
        return keys

    def has_room(self, attempts: Collection[Attempt]) -> bool:
        """Whether the longest waiting start may begin beside these attempts; a paused one gives its slot back."""
        if not self._waiting:
            return False
        active = [attempt for attempt in attempts if not attempt.told_paused]
        if next(iter(self._waiting.values())).start.alone:
            return not active
        return len(active) < self._slots and not any(attempt.start.alone for attempt in active)

    def take(self) -> Waiting:
        """Take out the longest waiting; raises StopIteration when none waits."""
        return self._waiting.pop(next(iter(self._waiting)))
