"""A service's own token, which is replaced every day under the running process."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from foundation.errors import QuantumError
from foundation.log import Logger
from foundation.secrets import SERVICE_TOKEN, service_account
from foundation.secrets_apart import read_secrets_apart
from foundation.workspace import Workspace


class RenewedCredential:
    """The token as it was last read; a TokenSource. `keep` reads it again and again, for as long as it runs."""

    def __init__(self, workspace: Workspace, service: str, token: str, logger: Logger) -> None:
        self._workspace = workspace
        self._service = service
        self._token = token
        self._logger = logger

    def __call__(self) -> str:
        """The token."""
        return self._token

    async def keep(self, overlap: timedelta) -> None:
        """Look three times within each overlap, in which the replaced token is still good; to be cancelled."""
        while True:
            await asyncio.sleep(overlap.total_seconds() / 3)
            await self.renew()

    async def renew(self) -> None:
        """Read it once; what cannot be read now leaves the last one in use."""
        account = (SERVICE_TOKEN, service_account(self._workspace, self._service))
        try:
            _, [found] = await asyncio.to_thread(
                read_secrets_apart, self._workspace, [account], within=timedelta(seconds=1)
            )
        except QuantumError as error:
            self._logger.error(f"The credential could not be read again: {error}", action="credential_unread")
            return
        self._token = found or self._token
