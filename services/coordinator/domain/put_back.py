"""What becomes of a task when its database is put back from a backup: what has happened since, nobody knows."""

from dataclasses import replace
from datetime import datetime

from services.coordinator.domain.schedule import Standing
from services.coordinator.domain.task import (
    FENCE_SHIFT,
    WAITING,
    Task,
    TaskState,
    again,
    await_decision,
    end,
    first_fence,
)


def put_back(task: Task, *, now: datetime) -> Task:
    """The task as it goes on after a restore; the same one where it has ended.

    Its fence goes beyond every one that was handed out before, so that no attempt from then can report on it. One that
    ran, or waited and may have run since, goes on by itself only where that does no harm twice; a task whose time is
    yet to come cannot have run.
    """
    if task.ended:
        return task
    raised = task._replace(fence=max(first_fence(now), task.fence + (1 << FENCE_SHIFT)))
    if task.state is TaskState.NEEDS_DECISION:
        return raised
    if task.cancel_requested:
        return end(raised, TaskState.CANCELLED, reason=task.reason, measured=task.measured, now=now)
    waited = task.state in WAITING
    if task.state is TaskState.SCHEDULED and task.ready_at > now:
        return raised
    if not task.effects.repeatable:
        return await_decision(raised, reason=_why(task), measured=task.measured, now=now)
    if waited:
        return raised._replace(holder="", reason=task.reason)
    return again(
        raised,
        reason="It ran when the backup was made that was put back.",
        measured=task.measured,
        not_before=None,
        now=now,
    )


def schedule_put_back(standing: Standing, *, now: datetime) -> Standing:
    """How a schedule stands after a restore: what was due since may have been run, and is passed over."""
    return replace(standing, after=max(standing.after, now))


def _why(task: Task) -> str:
    if task.state is TaskState.BLOCKED:
        return (
            "It waited for others when the backup was made that was put back, and may have run since; run_again starts"
            " it whatever has become of them."
        )
    did = "waited" if task.state in WAITING else "ran"
    return f"It {did} when the backup was made that was put back; whether it has run since, nobody knows."
