"""Starts that wait in the warden for room, so that the next script begins the moment one has ended."""

from __future__ import annotations

from collections.abc import Collection

from services.agent_runner.warden.attempt import Attempt
from services.agent_runner.warden.protocol import Start
from services.agent_runner.warden.spawn import Prepared

PAUSED_MAX = 10


class Waiting:
    """A start that waits; its lease is renewed meanwhile like any other."""

    __slots__ = ("lease", "prepared", "renewed_at", "start")

    def __init__(self, start: Start, prepared: Prepared) -> None:
        self.start = start
        self.prepared = prepared
        self.renewed_at = start.leased_at
        self.lease = start.lease


class Queue:
    """Waiting starts, longest first; `slots` is how many attempts run at the same time.

    A paused attempt gives its slot back, up to `paused_max` of them; each further one keeps its own.
    """

    def __init__(self, slots: int, paused_max: int = PAUSED_MAX) -> None:
        self._slots = slots
        self._paused_max = paused_max
        self._waiting: dict[str, Waiting] = {}
        self.beside = 0
        """How many of them take no room from tasks."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, waiting: Waiting) -> None:
        """Behind all others."""
        self._waiting[waiting.start.key] = waiting
        self.beside += waiting.start.beside

    def find(self, key: str) -> Waiting | None:
        """The waiting start of an attempt."""
        return self._waiting.get(key)

    def withdraw(self, key: str) -> bool:
        """Take one out; false when it does not wait here."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            self.beside -= waiting.start.beside
        return waiting is not None

    def withdraw_all(self, *, but_checks: bool = False) -> list[str]:
        """Take all out, or all but merge checks; returns their keys."""
        keys = [key for key, waiting in self._waiting.items() if not (but_checks and waiting.start.check)]
        for key in keys:
            self.withdraw(key)
        return keys

    def next_up(self, attempts: Collection[Attempt]) -> list[Waiting]:
        """Take out what may begin beside these attempts, longest waiting first.

        What runs beside the tasks (a service, a merge check) never takes a slot, nor waits for one.
        """
        chosen = [waiting for waiting in self._waiting.values() if waiting.start.beside] if self.beside else []
        chosen += self._next_tasks(attempts)
        for waiting in chosen:
            del self._waiting[waiting.start.key]
            self.beside -= waiting.start.beside
        return chosen

    def _next_tasks(self, attempts: Collection[Attempt]) -> list[Waiting]:
        tasks = [attempt for attempt in attempts if not attempt.start.beside]
        active = [attempt.start.alone for attempt in tasks if not attempt.told_paused]
        if True in active:
            return []
        slots = self._slots - max(0, len(tasks) - len(active) - self._paused_max)
        chosen: list[Waiting] = []
        for waiting in self._waiting.values():
            if waiting.start.beside:
                continue
            at_once = 1 if waiting.start.alone else slots
            if len(active) + len(chosen) >= at_once:
                break
            chosen.append(waiting)
            if waiting.start.alone:
                break
        return chosen
