"""Somebody who was thought lost comes back with a result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from clients.attachment import Attachment
from clients.attachment_values import AttemptRef, EndCause, Events, Hello, Result, ResultAcks
from clients.wire_values import micros_of
from tests.acceptance.deployment import Deployment
from tests.waiting import CLOCK, PATIENCE_SECONDS


async def hand_in_late(system: Deployment, refs: Sequence[AttemptRef]) -> tuple[set[AttemptRef], set[AttemptRef]]:
    """Come back as the runner that was killed and report success; what was disowned, and what was refused."""
    hello = Hello(name="one", host="test", incarnation="again", slots=10, labels={}, version="0", held=refs)
    token = system.credential("runner")
    async with Attachment.dial(system.workspace.socket("coordinator"), token=lambda: token) as attachment:
        welcome = await attachment.open(hello)
        now = micros_of(CLOCK.now())
        await attachment.send(
            [
                Events([Result(ref=ref, cause=EndCause.EXIT, exit_code=0, started_us=now, finished_us=now)])
                for ref in refs
            ]
        )
        refused: set[AttemptRef] = set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for message in attachment.receive():
                if isinstance(message, ResultAcks):
                    assert not message.accepted
                    refused |= set(message.refused)
                    if refused >= set(refs):
                        break
    return set(welcome.disowned), refused
