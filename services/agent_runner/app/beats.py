"""Heartbeats that were sent and not acknowledged yet: deadlines count from when one was sent."""

from __future__ import annotations

from collections.abc import Sequence


class Beats:
    """By their sequence numbers, which grow."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[float, Sequence[str]]] = {}
        self._sequence = 0

    def send(self, at: float, keys: Sequence[str]) -> int:
        """One is about to be sent, for these attempts; returns its number."""
        self._sequence += 1
        self._sent[self._sequence] = at, keys
        return self._sequence

    def acknowledged(self, sequence: int) -> tuple[float, Sequence[str]] | None:
        """When it was sent, and for which attempts; None: of an earlier stream. Those before it are done."""
        found = self._sent.pop(sequence, None)
        for earlier in [number for number in self._sent if number < sequence]:
            del self._sent[earlier]
        return found

    def forget(self) -> None:
        """The stream has broken."""
        self._sent.clear()
