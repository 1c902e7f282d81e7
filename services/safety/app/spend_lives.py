"""When each attempt that may spend was last renewed; without it, it has no more to spend than its grant allows."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import timedelta

from foundation.clock import Clock
from foundation.errors import Unavailable
from services.safety.domain.attempt import AttemptKey

TERM = timedelta(seconds=45)
"""How long new money is promised after the last renewal: a grant, and 15 s for answers that are late."""
RETRY_AFTER = timedelta(seconds=5)
"""A caller that is refused is paused mostly, so that this time stands still for it; when it goes on it tries soon."""


class Lives:
    """Counted by the clock that goes on through sleep, in memory: after a restart everybody has a full term."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.boottime()
        self._renewed: dict[AttemptKey, float] = {}

    def renew(self, attempts: Iterable[AttemptKey]) -> None:
        """They were admitted, or may go on."""
        boottime = self._clock.boottime()
        self._renewed.update((attempt, boottime) for attempt in attempts)

    def keep(self, live: Container[AttemptKey]) -> None:
        """Forget all others."""
        for attempt in [one for one in self._renewed if one not in live]:
            del self._renewed[attempt]

    def unrenewed(self, attempt: AttemptKey) -> timedelta:
        """How long nobody has renewed it."""
        return timedelta(seconds=self._clock.boottime() - self._renewed.get(attempt, self._began))

    def require_renewed(self, attempt: AttemptKey) -> None:
        """Raises Unavailable for an attempt of which nobody has said for longer than its term that it goes on."""
        if self.unrenewed(attempt) > TERM:
            raise Unavailable(
                "lease_not_renewed",
                "The lease of this attempt was not renewed for too long: it spends nothing new until it is.",
                remedy="Try again: it can go on as soon as the coordinator has renewed the lease.",
                retry_after=RETRY_AFTER,
            )
