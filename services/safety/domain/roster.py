"""Which agents ran lately, and where: what "a share of the agents" is a share of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

RAN_WITHIN = timedelta(hours=24)
NOTED_EVERY = timedelta(hours=1)
"""How much later an end must be to be noted again: a day is counted to within an hour, and nearly no end is written."""


class Place(NamedTuple):
    """An agent at work in a project ("": in the workspace itself)."""

    agent: str
    project: str


class Roster:
    """When each agent was last seen at work in each project, as it would be after the decision in preparation."""

    def __init__(self, seen: Mapping[Place, datetime]) -> None:
        self._base = seen
        self.changed: dict[Place, datetime] = {}

    def note(self, agent: str, project: str, now: datetime) -> None:
        """An attempt of the agent has ended in the project."""
        place = Place(agent, project)
        seen = self.changed.get(place) or self._base.get(place)
        # Seen in the future: the clock was set back.
        if seen is None or not now - NOTED_EVERY < seen <= now:
            self.changed[place] = now

    def agents(self, now: datetime, *, project: str | None = None) -> frozenset[str]:
        """The agents that ran in the last 24 hours, everywhere or in one project."""
        since = now - RAN_WITHIN
        return frozenset(
            place.agent
            for place, seen in {**self._base, **self.changed}.items()
            if seen >= since and project in (None, place.project)
        )


def forgotten(seen: Mapping[Place, datetime], now: datetime) -> list[Place]:
    """The places that may be forgotten, because nothing ran there for a day."""
    return [place for place, at in seen.items() if at < now - RAN_WITHIN]
