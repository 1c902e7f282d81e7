"""A desk with an agent that has a schedule, a clock in hand, and looks at what came of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from foundation.errors import QuantumError
from services.coordinator.app.schedule_book import ScheduleBook
from services.coordinator.app.schedules_shown import Reason, ScheduleView
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.schedule import Schedule, ScheduleKey, Standing
from services.coordinator.domain.task import Task
from services.coordinator.ports import Store, TaskFilter
from tests.coordinator.desk import Desk

HOURLY = Schedule(cron="0 * * * *", written="@hourly")
START = datetime(2027, 1, 1, 0, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Scheduled:
    """A desk with an agent `tick` that has a schedule, and the book of schedules."""

    def __init__(self, store: Store) -> None:
        self.refusal: QuantumError | None = None
        """What is answered to whoever wants to add a task, by the disk or another who may refuse."""
        self.desk = Desk(store, open_tasks_max=5, refuse=self._refuse)
        self.desk.clock.set_now(START)
        self.declare()
        self.book = self.another()

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def declare(self, schedule: Schedule | None = HOURLY, **changes: Any) -> None:
        spec = replace(AgentSpec(name="tick", script="/a/tick.sh", schedule=schedule), **changes)
        self.desk.catalogue.specs["tick"] = spec

    def another(self) -> ScheduleBook:
        """One that remembers nothing, as after a restart or in a second coordinator."""
        desk = self.desk
        return ScheduleBook(desk.store, desk.timetable, desk.submit, desk.explain, desk.dispatch, clock=desk.clock)

    async def at(self, moment: datetime) -> list[Task]:
        """Set the clock, look once, and return all of the agent's tasks, oldest first."""
        self.desk.clock.set_now(moment)
        await self.book.keeper.step()
        return await self.tasks()

    async def tasks(self) -> list[Task]:
        tasks = await self.desk.store.read(lambda tx: tx.matching(TaskFilter(agent="tick"), after_id="", limit=1000))
        return sorted(tasks, key=lambda task: (task.created_at, task.id))

    async def standing(self, project: str = "") -> Standing:
        found = await self.desk.store.read(lambda tx: tx.schedule(ScheduleKey("tick", project)))
        assert found is not None
        return found

    async def shown(self, name: str = "tick") -> tuple[ScheduleView, Reason]:
        views, reasons = await self.book.show.why(name)
        return views[0], reasons[0]
