"""Safety as merge checks see it, over its client; and the attempts that it knows by their credentials."""

from __future__ import annotations

from datetime import timedelta

from clients.safety import SafetyClient
from foundation.auth import ATTEMPT, Caller
from foundation.errors import TimedOut, Unavailable
from foundation.stop_file import StopFile
from services.coordinator.domain.merge_freedom import Freedom, Freeness

DEADLINE = timedelta(seconds=3)


class ClientMergeSafety:
    """Implements `ports_merges.MergeSafety`."""

    def __init__(self, client: SafetyClient, stop_file: StopFile) -> None:
        self._client = client
        self._stop_file = stop_file
        self._last = ""

    async def mode(self) -> str:
        """The STOP file stops whatever safety says, or said last. Raises Unavailable where it has said nothing yet."""
        if self._stop_file.is_set():
            return "STOPPED"
        try:
            self._last = (await self._client.get_mode(deadline=DEADLINE)).mode
        except (Unavailable, TimedOut):
            if not self._last:
                raise
        return self._last

    async def budgets(self, project: str) -> Freedom:
        standing = await self._client.budgets.merge_standing(project, deadline=DEADLINE)
        return Freedom(Freeness(standing.freedom), standing.reason)

    async def record(self, project: str, check_id: str, *, bad: bool) -> None:
        await self._client.budgets.record_merge(project, check_id, bad=bad, deadline=DEADLINE)


class AttemptVerifier:
    """Implements `foundation.auth.TokenVerifier` for credentials of attempts; each is asked about each time."""

    def __init__(self, client: SafetyClient) -> None:
        self._client = client

    async def verify(self, token: str) -> Caller:
        """The attempt behind a credential. Raises Unauthenticated once it has ended, Unavailable if none can tell."""
        task_id, fence = await self._client.identify_attempt(token, deadline=DEADLINE)
        name = f"attempt {task_id}:{fence}"
        return Caller(token_id=name, name=name, scopes=frozenset({ATTEMPT}), attempt=(task_id, fence))
