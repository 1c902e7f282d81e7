"""Fetches agents' secrets from this machine's keychain, off the runner's loop: a keychain may take its time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from foundation.agent_secrets import AgentSecrets


class KeychainSecrets:
    """See `SecretSource`. Nothing is kept: attempts that begin together share one look, the next ones look anew."""

    def __init__(self, secrets: AgentSecrets) -> None:
        self._secrets = secrets
        self._looks: dict[tuple[str, ...], asyncio.Task[Mapping[str, str]]] = {}

    async def fetch(self, names: Sequence[str]) -> Mapping[str, str]:
        """See `SecretSource`."""
        key = tuple(names)
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = asyncio.create_task(asyncio.to_thread(self._read, key))
            look.add_done_callback(lambda _: self._looks.pop(key, None))
        # One attempt that is dropped takes nothing away from the others.
        return await asyncio.shield(look)

    def _read(self, names: Sequence[str]) -> Mapping[str, str]:
        return {name: self._secrets.get(name) for name in names}
