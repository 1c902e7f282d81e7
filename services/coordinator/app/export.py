"""What the exported files show: the queue's head and tail, and every agent; never params, never output."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.coordinator.app.agents import AgentView
from services.coordinator.app.tasks import by_state
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Store, StoreTransaction, TaskFilter

# What a person looks for first comes first.
_OPEN_ORDER = (
    TaskState.RUNNING,
    TaskState.PAUSED,
    TaskState.NEEDS_DECISION,
    TaskState.QUEUED,
    TaskState.SCHEDULED,
    TaskState.BLOCKED,
)
_ENDED = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.DEAD)

Document = Mapping[str, object]


async def queue_document(store: Store, *, open_max: int, ended_max: int) -> Document:
    """All counts, the first open tasks and the last ended ones; costs the same however many there are."""
    return await store.read(lambda tx: _queue(tx, open_max, ended_max))


def _queue(tx: StoreTransaction, open_max: int, ended_max: int) -> Document:
    counts = by_state(tx.counts())
    first: list[Task] = []
    for state in _OPEN_ORDER:
        if counts.get(state) and len(first) < open_max:
            wanted = TaskFilter(states=frozenset({state}))
            first += tx.matching(wanted, after_id="", limit=open_max - len(first))
    last = [
        task
        for state in _ENDED
        if counts.get(state)
        for task in tx.page(TaskFilter(states=frozenset({state})), before=None, limit=ended_max)
    ]
    last.sort(key=lambda task: (task.finished_at or task.created_at, task.id), reverse=True)
    return {
        "counts": {state.value: counts.get(state, 0) for state in TaskState},
        "open": [_task(task) for task in first],
        "ended": [_task(task) for task in last[:ended_max]],
    }


def _task(task: Task) -> Document:
    return {
        "id": task.id,
        "agent": task.agent,
        "project": task.project,
        "state": task.state.value,
        "reason": task.reason,
        "priority": task.priority,
        "attempt": task.attempt,
        "exit_code": task.measured.exit_code,
        "created_at": _moment(task.created_at),
        "not_before": _moment(task.not_before),
        "started_at": _moment(task.started_at),
        "finished_at": _moment(task.finished_at),
    }


def agents_document(agents: Sequence[AgentView]) -> Document:
    """Every agent by name; a figure that is not known is null."""
    return {"agents": {view.spec.name: _agent(view) for view in agents}}


def _agent(view: AgentView) -> Document:
    last = view.last_task
    return {
        "state": view.state.value,
        "kind": view.spec.kind,
        "current_tasks": list(view.current_tasks),
        "queued": view.queued,
        "last_task": None
        if last is None
        else {"id": last.id, "state": last.state.value, "finished_at": _moment(last.finished_at)},
        "success_rate": view.success_rate,
        "predicted_failure": view.predicted_failure,
        "breaker": view.breaker or None,
        "held_reason": view.held_reason,
        "restarts": view.restarts,
        "schedule": view.spec.schedule.written if view.spec.schedule is not None else None,
        "next_run_at": _moment(view.next_run_at),
        "faults": list(view.spec.faults),
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
