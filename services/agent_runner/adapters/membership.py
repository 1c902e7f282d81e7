"""A runner that joined from another host: what it shows of itself over TLS, and how that is kept young."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

from clients.safety import SafetyClient
from clients.safety_values import Validation
from foundation.authority import describe, request_for
from foundation.clock import Clock
from foundation.errors import Exhausted, Internal, NotFound, QuantumError, Unauthenticated, Unavailable
from foundation.files import atomic_write
from foundation.identity import Identity
from foundation.log import Logger
from foundation.rpc.channel import TcpTarget
from foundation.secrets import RUNNER_KEY, SERVICE_TOKEN, SecretStore, service_account, user_account
from foundation.workspace import Workspace

_LOOKED_AT_SECONDS_MIN = 1.0
_RENEWALS_TRIED_SECONDS = 300.0


class Membership:
    """The key is in this host's keychain and stays there; certificate and credential are replaced in time."""

    def __init__(self, workspace: Workspace, name: str, secrets: SecretStore, clock: Clock) -> None:
        """Raises NotFound when the key is not in the keychain."""
        self._name = name
        self._file: Path = workspace.identity("runner")
        self._clock = clock
        self._secrets = secrets
        self._account = service_account(workspace, "runner")
        key = secrets.get(RUNNER_KEY, user_account(workspace))
        if key is None:
            raise NotFound(
                "no_runner_key",
                f"The key of this runner is not in {secrets.describe}.",
                remedy=f"Have it invited again: quantum runner invite {name}, on the coordinator's machine.",
            )
        self._key = key.encode()

    def identity(self) -> Identity:
        """What it shows now. Raises Unauthenticated once the certificate has ended: it was away for too long."""
        pem = self._file.read_bytes()
        ends_at = describe(pem).ends_at
        if ends_at <= self._clock.now():
            raise Unauthenticated(
                "away_too_long",
                f"The certificate of runner {self._name} ended at {ends_at:%Y-%m-%d %H:%M} UTC: it was away too long.",
                remedy=f"Have it invited again: quantum runner invite {self._name}, on the coordinator's machine.",
            )
        return Identity.parse(self._key + pem, source=str(self._file))

    def target(self, address: str, role: str) -> TcpTarget:
        """A service at an address, to be met with what is shown now."""
        return TcpTarget(address, role, self.identity())

    def certificate_due(self) -> bool:
        """Whether the certificate is past half of its life."""
        return self._clock.now() >= describe(self._file.read_bytes()).half_life_at()

    async def renew_certificate(self, safety: SafetyClient) -> None:
        """Ask for a new certificate of the same key, and keep it."""
        pem = await safety.runners.renew(request_for(self._key))
        Identity.parse(self._key + pem, source="what safety sent")
        atomic_write(self._file, pem, 0o600)

    async def renew_credential(self, safety: SafetyClient, age: timedelta) -> bool:
        """Replace the credential when it is older than `age`; whether it was. What was cut short is taken up.

        New credential → keychain → read back → confirmed by the new one, as `quantum token rotate` does it.
        """
        own = self._secrets.get(SERVICE_TOKEN, self._account) or ""
        held = (await safety.validate(own)).token
        await safety.confirm_rotation()
        if held.created_at is None or self._clock.now() - held.created_at < age:
            return False
        issued = await safety.rotate_token()
        self._secrets.set(SERVICE_TOKEN, self._account, issued.text)
        if self._secrets.get(SERVICE_TOKEN, self._account) != issued.text:
            self._secrets.set(SERVICE_TOKEN, self._account, own)
            raise Internal("keychain_unreliable", f"{self._secrets.describe} did not keep the new credential.")
        await safety.confirm_rotation()
        return True


class SafetyElsewhere:
    """Safety on another host. The connection is made anew with each new certificate."""

    def __init__(self, dial: Callable[[], SafetyClient]) -> None:
        self._dial = dial
        self.client = dial()

    async def validate(self, token: str, *, deadline: timedelta) -> Validation:
        """Who holds a token."""
        return await self.client.validate(token, deadline=deadline)

    async def watch_revocations(self) -> AsyncGenerator[int, None]:
        """Safety's beats."""
        async with aclosing(self.client.watch_revocations()) as beats:
            async for beat in beats:
                yield beat

    async def dial_again(self) -> None:
        """Go on over a new connection."""
        before, self.client = self.client, self._dial()
        await before.close()

    async def close(self) -> None:
        """End what is under way."""
        await self.client.close()


async def keep_young(
    membership: Membership, safety: SafetyElsewhere, *, age: timedelta, overlap: timedelta, log: Logger
) -> None:
    """Replace certificate and credential in time, for ever; what cannot be done now is tried again."""
    pause = min(overlap.total_seconds() / 3, age.total_seconds() / 4, _RENEWALS_TRIED_SECONDS)
    told = ""
    while True:
        try:
            if await membership.renew_credential(safety.client, age):
                log.info("The credential was replaced by a new one.", action="credential_renewed")
            if membership.certificate_due():
                await membership.renew_certificate(safety.client)
                await safety.dial_again()
                log.info("The certificate was replaced by a new one.", action="identity_renewed")
            told = ""
        except QuantumError as error:
            if error.code != told and not isinstance(error, Unavailable | Exhausted):
                log.warning(f"Certificate and credential were not renewed: {error.message}", action="not_renewed")
            told = error.code
        await asyncio.sleep(max(pause, _LOOKED_AT_SECONDS_MIN))
