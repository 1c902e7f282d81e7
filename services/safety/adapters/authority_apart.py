"""The workspace's authority, asked in a process of its own for each signature."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from foundation.clock import Clock
from foundation.signing_apart import answer_apart, issue_apart
from foundation.workspace import Workspace


class AuthorityApart:
    """A CertificateSigner. Its key is in the keychain, and for a moment in the process that signs."""

    def __init__(self, workspace: Workspace, clock: Clock) -> None:
        self._workspace = workspace
        self._clock = clock

    async def issue(self, role: str, name: str, lifetime: timedelta) -> bytes:
        """A new identity: key, certificate, the authority's certificate."""
        return await asyncio.to_thread(
            issue_apart, self._workspace, role, name, now=self._clock.now(), lifetime=lifetime
        )

    async def answer(self, request: bytes, role: str, name: str, lifetime: timedelta) -> bytes:
        """The certificate for the key in a request, and the authority's."""
        return await asyncio.to_thread(
            answer_apart, self._workspace, request, role, name, now=self._clock.now(), lifetime=lifetime
        )
