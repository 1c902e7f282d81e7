"""Shows tasks: one with its output, or many a page at a time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from foundation.errors import Invalid, NotFound
from foundation.ids import is_id
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Store, StoreTransaction, TaskFilter

PAGE_DEFAULT = 100
PAGE_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """One page, newest first. `next_token` is empty on the last one; `counts` are of all tasks."""

    tasks: Sequence[Task]
    next_token: str
    counts: Mapping[TaskState, int]


def require_task(tx: StoreTransaction, task_id: str) -> Task:
    """Raises NotFound, code `unknown_task`."""
    task = tx.task(task_id) if is_id(task_id) else None
    if task is None:
        raise NotFound(
            "unknown_task",
            f"There is no task “{task_id[:80]}”.",
            remedy="`quantum tasks` lists those that are kept.",
        )
    return task


class TaskInFull(NamedTuple):
    """A task as it stands, and what its newest attempt left."""

    task: Task
    output: str
    report_fault: str  # why its report was not taken; empty: it was, or there was none
    stragglers: int  # processes that outlived its first one


async def get_task(store: Store, task_id: str) -> TaskInFull:
    """The task with all that there is to tell of it. Raises NotFound."""
    return await store.read(
        lambda tx: TaskInFull(
            require_task(tx, task_id), tx.output(task_id), tx.report_fault(task_id), tx.stragglers(task_id)
        )
    )


async def list_tasks(store: Store, wanted: TaskFilter, *, size: int, token: str) -> TaskPage:
    """One page, 1 to 1,000 tasks, 0 for 100. Raises Invalid for a size or a token that cannot be."""
    if not 0 <= size <= PAGE_MAX:
        raise Invalid("bad_page_size", f"A page holds 1 to {PAGE_MAX} tasks, not {size}.")
    limit = size or PAGE_DEFAULT
    before = read_token(token) if token else None
    # One more than asked for says whether there is another page.
    found, counts = await store.read(lambda tx: (tx.page(wanted, before=before, limit=limit + 1), tx.counts()))
    tasks = found[:limit]
    next_token = write_token(tasks[-1]) if len(found) > limit else ""
    return TaskPage(tasks=tasks, next_token=next_token, counts=by_state(counts))


def by_state(counts: Mapping[tuple[str, TaskState], int]) -> Mapping[TaskState, int]:
    """Sum counts over agents."""
    total: Counter[TaskState] = Counter()
    for (_, state), number in counts.items():
        total[state] += number
    return total


def write_token(task: Task) -> str:
    """The place of a task in the list, as an opaque text."""
    return f"{int(task.created_at.timestamp() * 1_000_000)}-{task.id}"


def read_token(token: str) -> tuple[datetime, str]:
    """The place that a token names. Raises Invalid."""
    micros, _, task_id = token.partition("-")
    if not micros.isdecimal() or len(micros) > 17 or not is_id(task_id):
        raise Invalid("bad_page_token", "This page token was not given out here.", remedy="Begin with no token.")
    seconds, rest = divmod(int(micros), 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest), task_id
