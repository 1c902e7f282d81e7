"""What schedules need of a transaction: one row for each, by agent and project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from services.coordinator.domain.schedule import ScheduleKey, Standing


class ScheduleRows(Protocol):
    """How each schedule stands, as one transaction of the store sees it."""

    def schedules(self) -> Mapping[ScheduleKey, Standing]:
        """All of them; a project's pause stands with its own key, an agent's as a whole with that of no project."""

    def schedule(self, key: ScheduleKey) -> Standing | None: ...

    def put_schedule(self, standing: Standing) -> None:
        """Add it, or put it in the place of what stood there."""

    def forget_schedule(self, key: ScheduleKey) -> None: ...
