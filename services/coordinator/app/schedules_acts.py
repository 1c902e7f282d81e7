"""What a person does to a schedule: pause it, resume it, start its run now."""

from collections.abc import Sequence

from foundation.auth import Caller
from foundation.clock import Clock
from foundation.errors import Conflict, NotFound
from services.coordinator.app.acts import acting
from services.coordinator.app.schedules import former_of, rows_of
from services.coordinator.app.submit import Submit
from services.coordinator.app.timetable import Entry, Named, Timetable, whole
from services.coordinator.app.to_the_end import undisturbed
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.schedule import (
    Former,
    Overlap,
    Standing,
    first_seen,
    paused_by,
    resumed,
    started_by_hand,
)
from services.coordinator.domain.task import Task
from services.coordinator.ports import Store, StoreTransaction


class ScheduleActs:
    """Each act stands in the audit log. A name is `agent`, for all of its schedules, or `agent@project`."""

    def __init__(self, store: Store, timetable: Timetable, submit: Submit, *, clock: Clock) -> None:
        self._store = store
        self._timetable = timetable
        self._submit = submit
        self._clock = clock

    async def pause(self, name: str, reason: str) -> bool:
        """Let it rest until it is resumed; False when it did already. What runs runs on. Raises NotFound."""
        named, by, now = self._timetable.find(name), acting(), self._clock.now()

        def write(tx: StoreTransaction) -> bool:
            standing = tx.schedule(named.key) or self._unseen(named)
            if standing.pause.by:
                return False
            tx.put_schedule(paused_by(standing, by.name, reason, now=now))
            tx.note_act(by.act("schedule_pause", f"schedule:{named.key.name}", reason=reason, now=now))
            return True

        return await undisturbed(self._store.write(write))

    async def resume(self, name: str) -> bool:
        """Let it go on with its next due time; False when it did not rest. What was due meanwhile is not made up.

        Raises NotFound; Conflict for one project's while its agent's rest as a whole.
        """
        named, by, now = self._timetable.find(name), acting(), self._clock.now()

        def write(tx: StoreTransaction) -> bool:
            rows = tx.schedules()
            above = rows.get(whole(named.key))
            if named.key.project and above is not None and above.pause.by:
                raise Conflict(
                    "paused_as_a_whole",
                    f"All schedules of {named.key.agent} rest since {above.pause.at:%Y-%m-%d %H:%M} UTC.",
                    remedy=f"`quantum schedule resume {named.key.agent}` resumes them all.",
                )
            if not any(entry.pause(rows).by for entry in named.entries) and not _rests(rows.get(named.key)):
                return False
            meant = {named.key, *(entry.key for entry in named.entries)}
            for key in meant:
                standing = rows.get(key) or self._unseen(Named(key, named.entries))
                tx.put_schedule(resumed(standing, now=now))
            tx.note_act(by.act("schedule_resume", f"schedule:{named.key.name}", now=now))
            return True

        return await undisturbed(self._store.write(write))

    async def run(self, name: str, key: str, caller: Caller) -> Sequence[Task]:
        """Start now what it starts at its times, which stay as they are. Also while it rests.

        Raises NotFound; Conflict, code `still_open`, where two at once are not allowed and one is open.
        """
        named, now = self._timetable.find(name), self._clock.now()
        if not named.entries:
            raise NotFound(
                "no_project",
                f"The schedule of {named.key.agent} is for projects, and there is none that it means.",
                remedy="`quantum projects add <name> <folder>` makes one known.",
            )

        def record(tx: StoreTransaction, tasks: Sequence[Task]) -> None:
            for entry, task in zip(named.entries, tasks, strict=False):
                standing = entry.standing(rows_of(tx, entry), now=now)
                if standing.last_task != task.id:
                    _refuse_second(tx, entry, standing)
                    tx.put_schedule(started_by_hand(standing, task.id))

        requests = [
            TaskRequest(agent=entry.spec.name, project=entry.key.project, params=entry.schedule.params.encode())
            for entry in named.entries
        ]
        return (await self._submit(requests, key, caller, beside=record)).tasks

    def _unseen(self, named: Named) -> Standing:
        own = next((entry.timetable for entry in named.entries if entry.key == named.key), "")
        return first_seen(named.key, own, now=self._clock.now())


def _rests(standing: Standing | None) -> bool:
    return standing is not None and bool(standing.pause.by)


def _refuse_second(tx: StoreTransaction, entry: Entry, standing: Standing) -> None:
    task = tx.task(standing.last_task) if standing.last_task else None
    if task is None or former_of(task) is Former.OVER or entry.schedule.overlap is Overlap.ALLOW:
        return
    raise Conflict(
        "still_open",
        f"Task {task.id}, which schedule {entry.key.name} started before, is {task.state} still.",
        remedy=f"`quantum why {task.id}` says how it is; `quantum submit {entry.spec.name}` starts another beside it.",
    )
