"""The attempts that the warden has, waiting or running, and whether there are any."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from services.agent_runner.app.held import Held, Phase


class AtWork:
    """In the order in which they came."""

    def __init__(self) -> None:
        self._attempts: dict[Held, None] = {}
        self._busy = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, held: Held) -> None:
        """The warden has it from now on."""
        self._attempts[held] = None
        self._busy.set()
        self._idle.clear()

    def remove(self, held: Held) -> None:
        """The warden has it no more, if it ever had."""
        self._attempts.pop(held, None)
        if not self._attempts:
            self._busy.clear()
            self._idle.set()

    def __contains__(self, held: Held) -> bool:
        return held in self._attempts

    def __iter__(self) -> Iterator[Held]:
        return iter(self._attempts)

    def __len__(self) -> int:
        return len(self._attempts)

    def waiting(self) -> list[Held]:
        """Those that are not spawned as far as the warden has told."""
        return [held for held in self._attempts if held.phase is Phase.WAITING]

    async def busy(self) -> None:
        """Return when there are any."""
        await self._busy.wait()

    async def idle(self) -> None:
        """Return when there are none."""
        await self._idle.wait()
