"""Starts what is due: one task for each due time, recorded in the transaction that adds it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from foundation.auth import Caller
from foundation.clock import Clock
from foundation.errors import Conflict, QuantumError
from foundation.log import get_logger
from foundation.quantities import format_duration
from services.coordinator.app.submit import Submit
from services.coordinator.app.timetable import Entry, Rows, Timetable, whole
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.schedule import (
    ON_TIME,
    Decision,
    Fire,
    Former,
    Nothing,
    Pass,
    ScheduleKey,
    Standing,
    decide,
    fired,
    next_due,
    undeclared,
)
from services.coordinator.domain.task import FINISHED, Task, TaskState
from services.coordinator.ports import Store, StoreTransaction

KEEPER = Caller(token_id="coordinator:schedules", name="schedule", scopes=frozenset())

PAUSE_SECONDS_MAX = 5.0
_MINUTE = timedelta(minutes=1)
_log = get_logger("coordinator")


class Schedules:
    """Looks again and again; the store alone remembers, so that neither a restart nor a second one fires twice."""

    def __init__(self, store: Store, timetable: Timetable, submit: Submit, *, clock: Clock) -> None:
        self._store = store
        self._timetable = timetable
        self._submit = submit
        self._clock = clock
        self._next: datetime | None = None
        self.problems: dict[ScheduleKey, str] = {}
        """Why what was due could not be started, until it can."""

    async def step(self) -> None:
        """Start what is due, and remember when the next is."""
        now = self._clock.now()
        entries = self._timetable.entries()
        rows = await self._in_step(entries, await self._store.read(lambda tx: tx.schedules()), now)
        for entry in entries:
            due = next_due(rows[entry.key])
            if due is not None and due <= now and entry.spec.script:
                await self._deal(entry, now)
        self._next = await self._store.read(lambda tx: _earliest(tx.schedules(), now))

    def pause_seconds(self) -> float:
        """How long nothing is due, as far as is known; the clock may be set and the machine may sleep meanwhile."""
        if self._next is None:
            return PAUSE_SECONDS_MAX
        return min(PAUSE_SECONDS_MAX, max(0.0, (self._next - self._clock.now()).total_seconds()))

    # -- the rows

    async def _in_step(self, entries: list[Entry], rows: Rows, now: datetime) -> Rows:
        """The rows, once each schedule that there is has its own, and none that there is not."""
        if not self._changes(entries, rows, now):
            return rows

        def write(tx: StoreTransaction) -> Rows:
            for key, standing in self._changes(entries, tx.schedules(), now).items():
                if standing is None:
                    tx.forget_schedule(key)
                else:
                    tx.put_schedule(standing)
            return tx.schedules()

        return await self._store.write(write)

    def _changes(self, entries: list[Entry], rows: Rows, now: datetime) -> Mapping[ScheduleKey, Standing | None]:
        changed: dict[ScheduleKey, Standing | None] = {}
        for entry in entries:
            standing = entry.standing(rows, now=now)
            if standing != rows.get(entry.key):
                changed[entry.key] = standing
        present = {entry.key for entry in entries}
        for key, standing in rows.items():
            if key not in present and not self._timetable.may_lack(key.agent):
                left = undeclared(standing)
                if left != standing:
                    changed[key] = left
        return changed

    # -- what is due

    async def _deal(self, entry: Entry, now: datetime) -> None:
        decision, _ = await self._store.read(lambda tx: _decide(tx, entry, now))
        match decision:
            case Fire():
                await self._fire(entry, decision, now)
            case Pass():
                await self._store.write(lambda tx: _pass(tx, entry, now))
                self.problems.pop(entry.key, None)
            case Nothing():
                return

    async def _fire(self, entry: Entry, fire: Fire, now: datetime) -> None:
        request = TaskRequest(agent=entry.spec.name, project=entry.key.project, params=entry.schedule.params.encode())

        def record(tx: StoreTransaction, tasks: Sequence[Task]) -> None:
            decision, standing = _decide(tx, entry, now)
            if decision != fire:
                raise Conflict("fired_already", "Another coordinator was quicker, or somebody has paused it.")
            task_id = tasks[0].id if tasks else ""  # none: retention has deleted it since
            tx.put_schedule(fired(standing, fire.due, task_id, missed=fire.missed, now=now))

        key = f"schedule:{entry.key.name}:{fire.due.isoformat()}"
        try:
            submitted = await self._submit([request], key, KEEPER, beside=record)
        except QuantumError as error:
            if error.code != "fired_already":
                self._say_problem(entry, error)
            return
        self.problems.pop(entry.key, None)
        if submitted.replayed:
            return  # that time has come once more, because the clock was set back by days
        _log.info(_said(entry, fire, now), action="schedule_fired", agent=entry.spec.name, project=entry.key.project)

    def _say_problem(self, entry: Entry, error: QuantumError) -> None:
        said = f"Schedule {entry.key.name} is due and cannot be started: {error.message}"
        if self.problems.get(entry.key) != said:
            self.problems[entry.key] = said
            _log.warning(said, action="schedule_not_fired", agent=entry.spec.name, project=entry.key.project)


def former_of(task: Task | None) -> Former:
    """How the run before stands; one that waits for a person's decision stands in nobody's way."""
    if task is None or task.state in FINISHED:
        return Former.OVER
    return Former.RUNS if task.state in (TaskState.RUNNING, TaskState.PAUSED) else Former.WAITS


def rows_of(tx: StoreTransaction, entry: Entry) -> Rows:
    """What a decision about one schedule needs."""
    found = [tx.schedule(key) for key in {entry.key, whole(entry.key)}]
    return {standing.key: standing for standing in found if standing is not None}


def _decide(tx: StoreTransaction, entry: Entry, now: datetime) -> tuple[Decision, Standing]:
    rows = rows_of(tx, entry)
    standing = entry.standing(rows, now=now)
    former = former_of(tx.task(standing.last_task) if standing.last_task else None)
    return decide(standing, entry.schedule, former, paused=bool(entry.pause(rows).by), now=now), standing


def _pass(tx: StoreTransaction, entry: Entry, now: datetime) -> None:
    decision, _ = _decide(tx, entry, now)
    if isinstance(decision, Pass):
        tx.put_schedule(decision.standing)


def _earliest(rows: Rows, now: datetime) -> datetime | None:
    dues = [next_due(standing) for standing in rows.values() if standing.timetable]
    return min((due for due in dues if due is not None and due > now), default=None)


def _said(entry: Entry, fire: Fire, now: datetime) -> str:
    late = now - fire.due
    how = f", late by {format_duration(late - late % _MINUTE)}" if late > ON_TIME else ""
    more = f"; it stands for {fire.missed + 1} due times" if fire.missed else ""
    return f"Schedule {entry.key.name} has started its run of {fire.due:%Y-%m-%d %H:%M} UTC{how}{more}."
