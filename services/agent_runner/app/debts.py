"""Results that the coordinator has not acknowledged: told, told again, and forgotten once they are settled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from foundation.clock import Clock
from services.agent_runner.app.held import Held
from services.agent_runner.app.outbox import Outbox


class Debts:
    """Counts what is owed, so that a runner that ends can wait for the last of it."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._owed = 0
        self._none = asyncio.Event()
        self._none.set()

    def report(self, held: Held) -> None:
        """Tell a result for the first time."""
        assert held.result is not None
        self._owed += 1
        self._none.clear()
        held.reported_at = self._clock.boottime()
        self._outbox.events(held.result)

    def remind(self, attempts: Iterable[Held], *, before: float) -> None:
        """Tell again what was told before this moment (boottime) and is still owed."""
        for held in attempts:
            if held.result is not None and held.reported_at < before:
                held.reported_at = self._clock.boottime()
                self._outbox.events(held.result)

    def settle(self, held: Held) -> None:
        """Its result, if there is one, is not asked for any more."""
        if held.result is not None:
            held.result = None
            self._owed -= 1
            if not self._owed:
                self._none.set()

    async def settled(self) -> None:
        """Return when nothing is owed."""
        await self._none.wait()
