"""Attempts whose secrets are being fetched from the keychain: the warden has not heard of them yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from clients.attachment_values import EndCause
from foundation.errors import Kind, QuantumError
from services.agent_runner.app.held import Held
from services.agent_runner.ports import SecretSource

# Nothing that waiting would mend: somebody must store the secret, or another one.
_CONFIGURATION = frozenset({Kind.NOT_FOUND, Kind.INVALID})


class Gathering:
    """One small task for each; what comes of it is told to `ready` or to `failed`."""

    def __init__(
        self, source: SecretSource, *, ready: Callable[[Held], None], failed: Callable[[Held, EndCause, str], None]
    ) -> None:
        self._source = source
        self._ready = ready
        self._failed = failed
        self._under_way: dict[Held, asyncio.Task[None]] = {}

    def begin(self, held: Held) -> None:
        """Fetch the secrets of an attempt, if it asks for any."""
        if not held.lease.terms.secrets:
            self._ready(held)
            return
        self._under_way[held] = asyncio.create_task(self._gather(held))

    def has(self, held: Held) -> bool:
        """Whether the secrets of an attempt are being fetched."""
        return held in self._under_way

    def drop(self, held: Held) -> bool:
        """Let an attempt be; says whether its secrets were being fetched."""
        task = self._under_way.pop(held, None)
        if task is None:
            return False
        task.cancel()
        return True

    async def _gather(self, held: Held) -> None:
        try:
            held.secrets = await self._source.fetch(held.lease.terms.secrets)
        except QuantumError as error:
            self._under_way.pop(held, None)
            lasting = error.kind in _CONFIGURATION
            cause = EndCause.SPAWN_CONFIGURATION if lasting else EndCause.SPAWN_RESOURCES
            remedy = f" → {error.remedy}" if error.remedy else ""
            self._failed(held, cause, f"{error.message}{remedy}")
        else:
            self._under_way.pop(held, None)
            self._ready(held)
