"""Schedules as people see them: when each is due next, how its last run came about, and what holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from foundation.clock import Clock
from services.coordinator.app.dispatching import Dispatching
from services.coordinator.app.explain import Explain
from services.coordinator.app.schedules import Schedules, former_of
from services.coordinator.app.timetable import MANIFEST, Entry, Named, Rows, Timetable
from services.coordinator.domain.cron import times_after
from services.coordinator.domain.schedule import Former, Overlap, Pause, Standing
from services.coordinator.domain.task import Task
from services.coordinator.ports import Store

NEXT_COUNT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """One schedule. `next_runs` are in UTC, none while it rests; `last_task` None: none yet, or kept no more."""

    entry: Entry
    standing: Standing
    pause: Pause
    next_runs: Sequence[datetime]
    last_task: Task | None
    problem: str

    @property
    def late(self) -> timedelta | None:
        """How late the last run was begun; None: on time, or never yet."""
        return self.standing.late


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why nothing of a schedule starts now, as a sentence; `until` when that may change by itself."""

    code: str
    sentence: str
    until: datetime | None = None
    remedy: str = ""


class ShowSchedules:
    """Reads, and changes nothing."""

    def __init__(
        self,
        store: Store,
        timetable: Timetable,
        schedules: Schedules,
        explain: Explain,
        dispatch: Dispatching,
        *,
        clock: Clock,
    ) -> None:
        self._store = store
        self._timetable = timetable
        self._schedules = schedules
        self._explain = explain
        self._dispatch = dispatch
        self._clock = clock

    async def all(self) -> Sequence[ScheduleView]:
        """By name."""
        return await self._views(self._timetable.entries())

    async def why(self, name: str) -> tuple[Sequence[ScheduleView], Sequence[Reason]]:
        """Those that a name means, and for each why nothing of it starts now; one more where there are none.

        Raises NotFound.
        """
        named = self._timetable.find(name)
        views = await self._views(named.entries)
        return views, [await self._reason(view) for view in views] or [_no_project(named)]

    async def _views(self, entries: Sequence[Entry]) -> list[ScheduleView]:
        now = self._clock.now()
        rows, tasks = await self._store.read(
            lambda tx: ((rows := tx.schedules()), tx.tasks([row.last_task for row in rows.values() if row.last_task]))
        )
        return [self._view(entry, rows, tasks, now) for entry in entries]

    def _view(self, entry: Entry, rows: Rows, tasks: Mapping[str, Task], now: datetime) -> ScheduleView:
        standing, pause = entry.standing(rows, now=now), entry.pause(rows)
        runs = times_after(entry.schedule.cron, entry.zone, max(standing.after, now))
        return ScheduleView(
            entry=entry,
            standing=standing,
            pause=pause,
            next_runs=() if pause.by or not entry.spec.script else tuple(islice(runs, NEXT_COUNT)),
            last_task=tasks.get(standing.last_task),
            problem=" ".join(entry.spec.faults) or self._schedules.problems.get(entry.key, ""),
        )

    async def _reason(self, view: ScheduleView) -> Reason:
        name, spec = view.entry.key.name, view.entry.spec
        if not spec.script:
            said = f"Agent {spec.name} ({spec.source}) cannot be run: {view.problem}"
            return Reason(code="agent_invalid", sentence=said)
        if view.pause.by:
            return Reason(code="paused", sentence=_rests(view.pause), remedy=f"quantum schedule resume {name}")
        if view.problem:
            return Reason(code="not_started", sentence=view.problem)
        if view.last_task is not None and former_of(view.last_task) is not Former.OVER:
            return await self._open(view, view.last_task)
        if not view.next_runs:
            return Reason(code="never", sentence="It is never due again.")
        fleet = self._dispatch.fleet()
        held = fleet.stopped.reason if fleet.stopped is not None else fleet.queue_paused
        then = f" Its task will be queued then, and wait: {held}" if held else ""
        return Reason(code="not_due", sentence=f"It is not due yet.{then}", until=view.next_runs[0])

    async def _open(self, view: ScheduleView, task: Task) -> Reason:
        _, explanation = await self._explain(task.id)
        meanwhile = {
            Overlap.SKIP: "due times are passed over until it is over",
            Overlap.QUEUE: "one run follows when it is over",
            Overlap.ALLOW: "other runs start beside it once it has started",
        }[view.entry.schedule.overlap]
        said = f"Task {task.id} of it is {task.state}: {explanation.sentence} Meanwhile {meanwhile}."
        return Reason(code="still_open", sentence=said, until=explanation.until, remedy=explanation.remedy)


def _rests(pause: Pause) -> str:
    if pause.by == MANIFEST:
        return "Its manifest says that it rests until somebody resumes it."
    since = f" since {pause.at:%Y-%m-%d %H:%M} UTC" if pause.at else ""
    return f"{pause.by} lets it rest{since}{f': {pause.reason}' if pause.reason else '.'}"


def _no_project(named: Named) -> Reason:
    said = f"The schedule of {named.key.agent} is for projects, and there is none that it means."
    return Reason(code="no_project", sentence=said, remedy="quantum projects add <name> <folder>")
