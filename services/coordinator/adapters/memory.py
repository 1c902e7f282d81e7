"""The coordinator's store in memory, for tests of everything that stands on a store."""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from foundation.errors import Conflict, Internal, Stale
from services.coordinator.adapters.memory_merges import MemoryMerges
from services.coordinator.adapters.memory_schedules import MemorySchedules
from services.coordinator.domain.error_report import ErrorReport
from services.coordinator.domain.merge_check import MergeCheck
from services.coordinator.domain.ready import labels_text
from services.coordinator.domain.schedule import ScheduleKey, Standing
from services.coordinator.domain.task import ENDED, Task, TaskState, faults, request_of
from services.coordinator.ports import Accepted, AgentHistory, ReadyEntry, Refusal, Report, StoreTransaction, TaskFilter
from services.coordinator.ports_safety import Act, OutboxEntry

T = TypeVar("T")

REFUSALS_MAX = 10_000
FAILED_WAITING_MAX = 1_000
_TASK_BYTES = 500  # what a task takes up beside its params and output
_TO_BE_DECIDED = frozenset({TaskState.DEAD, TaskState.NEEDS_DECISION})


@dataclass(slots=True)
class _Data:
    """Everything that is stored. A write works on a copy of the containers, whose values never change."""

    tasks: dict[str, Task] = field(default_factory=dict)
    position: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    report_faults: dict[str, str] = field(default_factory=dict)
    stragglers: dict[str, int] = field(default_factory=dict)
    accepted: dict[tuple[str, str], Accepted] = field(default_factory=dict)
    outbox: dict[int, OutboxEntry] = field(default_factory=dict)
    acts: dict[int, Act] = field(default_factory=dict)
    acts_noted: int = 0
    failed: dict[int, ErrorReport] = field(default_factory=dict)
    failed_noted: int = 0
    posted: int = 0
    reports: dict[tuple[str, str], Report] = field(default_factory=dict)
    histories: dict[str, AgentHistory] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    checks: dict[str, MergeCheck] = field(default_factory=dict)
    schedules: dict[ScheduleKey, Standing] = field(default_factory=dict)

    def copied(self) -> "_Data":
        return _Data(*(copy.copy(getattr(self, name)) for name in _Data.__slots__))


class MemoryStore:
    """A store that forgets everything with its process. An exception in a work leaves it as it was."""

    def __init__(self) -> None:
        self._data = _Data()

    async def write(self, work: Callable[[StoreTransaction], T]) -> T:
        data = self._data.copied()
        result = work(MemoryTransaction(data))
        self._data = data
        return result

    async def read(self, work: Callable[[StoreTransaction], T]) -> T:
        return work(MemoryTransaction(self._data))

    async def check(self) -> Sequence[str]:
        tasks = self._data.tasks.values()
        found = [f"task {task.id}: {sentence}" for task in tasks for sentence in faults(task)]
        return (
            *found,
            *(f"output of {id_} belongs to no task" for id_ in self._data.outputs if id_ not in self._data.tasks),
        )

    async def close(self) -> None:
        self._data = _Data()


class MemoryTransaction(MemoryMerges, MemorySchedules):
    """One work's view of the data; each read looks at every task."""

    def __init__(self, data: _Data) -> None:
        MemoryMerges.__init__(self, data.checks)
        MemorySchedules.__init__(self, data.schedules)
        self._data = data

    # -- tasks

    def insert(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if task.id in self._data.tasks:
                raise Conflict("task_exists", f"Task {task.id} exists already.")
            self._put(task)

    def save(self, pairs: Sequence[tuple[Task, Task]]) -> None:
        self._check(pairs)
        for _, after in pairs:
            self._put(after)

    def lease(self, pairs: Sequence[tuple[Task, Task]]) -> None:
        self._check(pairs)
        for before, after in pairs:
            self._keep(after, change=self._data.tasks[before.id].change)

    def _check(self, pairs: Sequence[tuple[Task, Task]]) -> None:
        if len({before.id for before, _ in pairs}) < len(pairs):
            raise Internal("saved_twice", "A task was to be saved twice at once; the first change would be lost.")
        for before, after in pairs:
            if before.ended:
                raise Stale("ended", f"Task {before.id} has ended ({before.state}) and never changes again.")
            now = self._data.tasks.get(before.id)
            if now is None or (now.state, now.fence) != (before.state, before.fence):
                raise Stale(
                    "stale_fence", f"Task {before.id} is not {before.state} under fence {before.fence} any more."
                )
            if request_of(before) != request_of(after):
                raise Internal("request_changed", f"What task {before.id} asks for cannot be changed.")

    def _put(self, task: Task) -> None:
        self._data.position += 1
        self._keep(task, change=self._data.position)

    def _keep(self, task: Task, *, change: int) -> None:
        if wrong := faults(task):
            raise Internal("impossible_task", f"Task {task.id} would become what no task can be: {', '.join(wrong)}.")
        self._data.tasks[task.id] = task._replace(change=change)

    def task(self, task_id: str) -> Task | None:
        return self._data.tasks.get(task_id)

    def tasks(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        return {id_: self._data.tasks[id_] for id_ in task_ids if id_ in self._data.tasks}

    def page(self, wanted: TaskFilter, *, before: tuple[datetime, str] | None, limit: int) -> Sequence[Task]:
        """Newest first as the port says: by id downwards, because ids ascend with the moment of creation."""
        found = self._sorted(task for task in self._wanted(wanted) if before is None or task.id < before[1])
        return found[::-1][:limit]

    def matching(self, wanted: TaskFilter, *, after_id: str, limit: int) -> Sequence[Task]:
        return self._sorted(task for task in self._wanted(wanted) if task.id > after_id)[:limit]

    def _wanted(self, wanted: TaskFilter) -> Iterable[Task]:
        return (
            task
            for task in self._data.tasks.values()
            if (not wanted.states or task.state in wanted.states)
            and wanted.agent in ("", task.agent)
            and wanted.project in ("", task.project)
        )

    def _sorted(self, tasks: Iterable[Task]) -> list[Task]:
        return sorted(tasks, key=lambda task: task.id)

    def counts(self) -> Mapping[tuple[str, TaskState], int]:
        return Counter((task.agent, task.state) for task in self._data.tasks.values())

    def ready(self, agent: str, *, after: ReadyEntry | None, limit: int, labels: str = "") -> Sequence[ReadyEntry]:
        entries = (
            ReadyEntry(9 - task.priority, task.ready_at, task.id)
            for task in self._ready()
            if task.agent == agent and labels_text(task.labels) == labels
        )
        found = [entry for entry in entries if after is None or entry > after]
        return sorted(found)[:limit]

    def ready_labels(self, agent: str, *, after: str, limit: int) -> Sequence[str]:
        texts = {labels_text(task.labels) for task in self._ready() if task.agent == agent and task.labels}
        return sorted(text for text in texts if text > after)[:limit]

    def _ready(self) -> Iterable[Task]:
        tasks = self._data.tasks.values()
        return (task for task in tasks if task.state is TaskState.QUEUED and not task.leased)

    def due(self, now: datetime, *, limit: int) -> Sequence[Task]:
        found = [task for task in self._scheduled() if task.ready_at <= now]
        return sorted(found, key=lambda task: (task.ready_at, task.id))[:limit]

    def next_due(self) -> datetime | None:
        return min((task.ready_at for task in self._scheduled()), default=None)

    def _scheduled(self) -> list[Task]:
        return [task for task in self._data.tasks.values() if task.state is TaskState.SCHEDULED]

    def held(self, *, after_id: str, limit: int) -> Sequence[Task]:
        return self._sorted(task for task in self._data.tasks.values() if task.leased and task.id > after_id)[:limit]

    def blocked_on(self, parent_ids: Sequence[str]) -> Sequence[Task]:
        parents = set(parent_ids)
        blocked = (task for task in self._data.tasks.values() if task.state is TaskState.BLOCKED)
        return self._sorted(task for task in blocked if parents & set(task.depends_on))

    def unmet_parents(self, task_id: str) -> Sequence[Task]:
        task = self._data.tasks.get(task_id)
        parents = self.tasks(task.depends_on).values() if task is not None else ()
        return [parent for parent in parents if parent.state is not TaskState.SUCCEEDED]

    def position(self) -> int:
        return self._data.position

    def changes(self, *, after: int, limit: int) -> Sequence[Task]:
        found = (task for task in self._data.tasks.values() if task.change > after)
        return sorted(found, key=lambda task: task.change)[:limit]

    def in_clearing(self, clearing: str, *, after_id: str, limit: int) -> Sequence[Task]:
        if not clearing:
            return ()
        found = (task for task in self._data.tasks.values() if task.clearing == clearing and task.id > after_id)
        return self._sorted(found)[:limit]

    # -- records

    def put_output(self, task_id: str, text: str, report_fault: str = "", stragglers: int = 0) -> None:
        self._data.stragglers.pop(task_id, None)
        if stragglers:
            self._data.stragglers[task_id] = stragglers
        for kept, said in ((self._data.outputs, text), (self._data.report_faults, report_fault)):
            kept.pop(task_id, None)
            if said:
                kept[task_id] = said

    def output(self, task_id: str) -> str:
        return self._data.outputs.get(task_id, "")

    def report_fault(self, task_id: str) -> str:
        return self._data.report_faults.get(task_id, "")

    def stragglers(self, task_id: str) -> int:
        return self._data.stragglers.get(task_id, 0)

    def accepted(self, token_id: str, key: str) -> Accepted | None:
        return self._data.accepted.get((token_id, key))

    def remember(self, token_id: str, key: str, accepted: Accepted) -> None:
        self._data.accepted[token_id, key] = accepted

    def post(self, entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
        posted = [entry._replace(sequence=at) for at, entry in enumerate(entries, self._data.posted + 1)]
        self._data.posted += len(posted)
        self._data.outbox |= {entry.sequence: entry for entry in posted}
        return posted

    def outbox(self, *, limit: int) -> Sequence[OutboxEntry]:
        return list(self._data.outbox.values())[:limit]

    def acknowledge(self, up_to_sequence: int) -> None:
        for sequence in [sequence for sequence in self._data.outbox if sequence <= up_to_sequence]:
            del self._data.outbox[sequence]

    def note_act(self, act: Act) -> None:
        self._data.acts_noted += 1
        self._data.acts[self._data.acts_noted] = act._replace(number=self._data.acts_noted)

    def acts(self, *, limit: int) -> Sequence[Act]:
        return list(self._data.acts.values())[:limit]

    def forget_acts(self, up_to_number: int) -> None:
        self._data.acts = {number: act for number, act in self._data.acts.items() if number > up_to_number}

    def note_failed_attempt(self, report: ErrorReport) -> None:
        if len(self._data.failed) < FAILED_WAITING_MAX:
            self._data.failed_noted += 1
            self._data.failed[self._data.failed_noted] = report

    def failed_attempts(self, *, limit: int) -> Sequence[tuple[int, ErrorReport]]:
        return list(self._data.failed.items())[:limit]

    def forget_failed_attempts(self, up_to_number: int) -> None:
        self._data.failed = {number: it for number, it in self._data.failed.items() if number > up_to_number}

    def publish(self, report: Report) -> None:
        latest = self._data.reports.get((report.type, report.project))
        if latest is None or report.published_at >= latest.published_at:
            self._data.reports[report.type, report.project] = report

    def reports(self, *, type: str, project: str) -> Sequence[Report]:
        found = [
            each for each in self._data.reports.values() if type in ("", each.type) and project in ("", each.project)
        ]
        return _newest_first(found)

    def report(self, *, agent: str, project: str) -> Report | None:
        found = [each for each in self._data.reports.values() if (each.agent, each.project) == (agent, project)]
        return next(iter(_newest_first(found)), None)

    def histories(self) -> Mapping[str, AgentHistory]:
        return dict(self._data.histories)

    def record_history(self, history: AgentHistory) -> None:
        self._data.histories[history.agent] = history

    def refuse(self, refusal: Refusal) -> None:
        self._data.refusals.append(refusal)
        del self._data.refusals[:-REFUSALS_MAX]

    def refusals(self, task_id: str) -> Sequence[Refusal]:
        return [refusal for refusal in self._data.refusals if refusal.task_id == task_id]

    def fact(self, name: str) -> str | None:
        return self._data.facts.get(name)

    def set_fact(self, name: str, value: str | None) -> None:
        if value is None:
            self._data.facts.pop(name, None)
        else:
            self._data.facts[name] = value

    # -- retention

    def prune(
        self,
        *,
        ended_before: datetime,
        decided_before: datetime,
        rows_max: int,
        bytes_max: int,
        keys_before: datetime,
        limit: int,
    ) -> int:
        for place in sorted(self._data.accepted, key=lambda place: self._data.accepted[place].at)[:limit]:
            if self._data.accepted[place].at < keys_before:
                del self._data.accepted[place]
        removed = 0
        for task in self._finished():
            by_age = decided_before if task.state in _TO_BE_DECIDED else ended_before
            assert task.finished_at is not None
            if removed < limit and task.finished_at < by_age:
                removed += self._remove(task)
        for task in self._finished():
            ended = sum(other.ended for other in self._data.tasks.values())
            too_much = ended > rows_max or self.size_bytes() > bytes_max
            if removed < limit and too_much and task.state not in _TO_BE_DECIDED:
                removed += self._remove(task)
        return removed

    def _finished(self) -> list[Task]:
        """What may be deleted, oldest first: no open task depends on it."""
        needed = {parent for task in self._data.tasks.values() if task.state not in ENDED for parent in task.depends_on}
        found = [task for task in self._data.tasks.values() if task.finished_at and task.id not in needed]
        return sorted(found, key=lambda task: (task.finished_at, task.id))

    def _remove(self, task: Task) -> int:
        del self._data.tasks[task.id]
        self.put_output(task.id, "")
        return 1

    def size_bytes(self) -> int:
        params = sum(_TASK_BYTES + len(task.params) for task in self._data.tasks.values())
        return params + sum(len(text) for text in self._data.outputs.values())


def _newest_first(reports: Iterable[Report]) -> list[Report]:
    return sorted(sorted(reports, key=lambda each: each.type), key=lambda each: each.published_at, reverse=True)
