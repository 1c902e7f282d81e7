"""The schedules in the coordinator's SQLite store."""

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from services.coordinator.adapters.queries import SQL, fetch
from services.coordinator.adapters.rows import moment, moment_or_none, stamp, stamp_or_none
from services.coordinator.domain.schedule import Pause, ScheduleKey, Standing


class SqliteSchedules:
    """The schedules as one transaction sees them."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    def schedules(self) -> Mapping[ScheduleKey, Standing]:
        found = map(_read, fetch(self._connection, "schedules"))
        return {standing.key: standing for standing in found}

    def schedule(self, key: ScheduleKey) -> Standing | None:
        found = fetch(self._connection, "schedule", key)
        return _read(found[0]) if found else None

    def put_schedule(self, standing: Standing) -> None:
        values = (
            *standing.key,
            standing.timetable,
            stamp(standing.after),
            stamp_or_none(standing.last_due),
            stamp_or_none(standing.last_fired_at),
            standing.last_task,
            standing.missed,
            standing.passed,
            standing.passed_because,
            standing.pause.by,
            stamp_or_none(standing.pause.at),
            standing.pause.reason,
            standing.resumed,
        )
        self._execute(SQL["put_schedule"], values)

    def forget_schedule(self, key: ScheduleKey) -> None:
        self._execute(SQL["forget_schedule"], key)


def _read(row: Sequence[Any]) -> Standing:
    (
        agent, project, timetable, after, last_due, last_fired_at, last_task, missed, passed, passed_because,
        paused_by, paused_at, paused_reason, resumed,
    ) = row  # fmt: skip
    return Standing(
        key=ScheduleKey(agent, project),
        timetable=timetable,
        after=moment(after),
        last_due=moment_or_none(last_due),
        last_fired_at=moment_or_none(last_fired_at),
        last_task=last_task,
        missed=missed,
        passed=passed,
        passed_because=passed_because,
        pause=Pause(by=paused_by, at=moment_or_none(paused_at), reason=paused_reason),
        resumed=resumed == 1,
    )
