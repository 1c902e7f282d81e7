"""Schedules as a whole: what starts them, what people do to them, and how they are shown."""

from foundation.clock import Clock
from services.coordinator.app.dispatching import Dispatching
from services.coordinator.app.explain import Explain
from services.coordinator.app.schedules import Schedules
from services.coordinator.app.schedules_acts import ScheduleActs
from services.coordinator.app.schedules_shown import ShowSchedules
from services.coordinator.app.submit import Submit
from services.coordinator.app.timetable import Timetable
from services.coordinator.ports import Store


class ScheduleBook:
    """The three parts on one store and one timetable."""

    def __init__(
        self,
        store: Store,
        timetable: Timetable,
        submit: Submit,
        explain: Explain,
        dispatch: Dispatching,
        *,
        clock: Clock,
    ) -> None:
        self.keeper = Schedules(store, timetable, submit, clock=clock)
        self.acts = ScheduleActs(store, timetable, submit, clock=clock)
        self.show = ShowSchedules(store, timetable, self.keeper, explain, dispatch, clock=clock)
