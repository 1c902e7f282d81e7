"""Makes a new task out of an ended one, for retries and for the undoing of a clearing."""

from collections.abc import Sequence
from datetime import datetime

from services.coordinator.domain.task import Effects, Task, TaskState, accept, first_fence

# Ends after which a task that depends on this one can never run.
DEAD_ENDS = frozenset({TaskState.FAILED, TaskState.CANCELLED, TaskState.DEAD})


def copy_of(
    task: Task,
    *,
    id: str,
    depends_on: Sequence[str],
    unmet_parents: bool,
    effects: Effects,
    submitted_by: str,
    now: datetime,
) -> Task:
    """A new task with the payload of `task`; its history stays with the original, which `retry_of` names.

    A `not_before` that has passed is left behind. `effects` is what the manifest says today, because it guards what
    runs today.
    """
    later = task.not_before if task.not_before is not None and task.not_before > now else None
    copied = Task(
        id=id,
        agent=task.agent,
        state=TaskState.QUEUED,
        created_at=now,
        ready_at=now,
        fence=first_fence(now),
        project=task.project,
        params=task.params,
        priority=task.priority,
        not_before=later if task.attempt == 0 else None,
        depends_on=tuple(depends_on),
        effects=effects,
        retries=task.retries,
        timeout=task.timeout,
        retry_of=task.id,
        parent=task.parent,
        submitted_by=submitted_by,
        labels=task.labels,
    )
    return accept(copied, unmet_parents=unmet_parents, now=now)
