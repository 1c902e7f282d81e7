"""The schedules of the store in memory."""

from collections.abc import Mapping

from services.coordinator.domain.schedule import ScheduleKey, Standing


class MemorySchedules:
    """One work's view of them, by key."""

    def __init__(self, schedules: dict[ScheduleKey, Standing]) -> None:
        self._schedules = schedules

    def schedules(self) -> Mapping[ScheduleKey, Standing]:
        return dict(self._schedules)

    def schedule(self, key: ScheduleKey) -> Standing | None:
        return self._schedules.get(key)

    def put_schedule(self, standing: Standing) -> None:
        self._schedules[standing.key] = standing

    def forget_schedule(self, key: ScheduleKey) -> None:
        self._schedules.pop(key, None)
