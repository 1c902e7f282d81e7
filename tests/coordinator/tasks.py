"""Tasks in any state, for the tests of the domain and of the stores."""

from datetime import UTC, datetime, timedelta
from typing import Any

from foundation.ids import SequentialIds
from services.coordinator.domain.task import Effects, LimitUse, Measured, Task, TaskState

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
S = TaskState

_ids = SequentialIds()

EXITED_0 = Measured(exit_code=0, duration=timedelta(seconds=1.5), cpu=timedelta(milliseconds=3))
# What makes a task of each state a possible one.
_OF_STATE: dict[TaskState, dict[str, Any]] = {
    S.SCHEDULED: {"not_before": NOW + timedelta(hours=1), "ready_at": NOW + timedelta(hours=1)},
    S.BLOCKED: {"depends_on": ("0parent",)},
    S.QUEUED: {},
    S.RUNNING: {"holder": "r1", "runner": "r1", "attempt": 1, "started_at": NOW},
    S.PAUSED: {"holder": "r1", "runner": "r1", "attempt": 1, "started_at": NOW, "reason": "held"},
    S.NEEDS_DECISION: {"runner": "r1", "attempt": 1, "started_at": NOW, "finished_at": NOW, "reason": "lost"},
    S.SUCCEEDED: {"runner": "r1", "attempt": 1, "started_at": NOW, "finished_at": NOW, "measured": EXITED_0},
    S.FAILED: {"attempt": 1, "finished_at": NOW, "reason": "Exited with 1.", "measured": Measured(exit_code=1)},
    S.CANCELLED: {"finished_at": NOW, "reason": "asked"},
    S.DEAD: {"attempt": 3, "losses": 3, "finished_at": NOW, "reason": "poison"},
}


def after(seconds: float) -> datetime:
    """A moment so many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def task(state: TaskState = S.QUEUED, **changes: Any) -> Task:
    """A new possible task in a state, with a new id."""
    values: dict[str, Any] = {
        "id": _ids.new(),
        "agent": "build",
        "state": state,
        "created_at": NOW,
        "ready_at": NOW,
        "fence": 1 << 20,
    }
    return Task(**values | _OF_STATE[state] | changes)


def leased(**changes: Any) -> Task:
    """A queued task that a runner holds and has not started."""
    return task(S.QUEUED, **{"holder": "r1", "runner": "r1"} | changes)


def full() -> Task:
    """A task with a value of its own in every field."""
    return task(
        S.FAILED,
        agent="test-agent",
        project="HabitQuest",
        params='{"é": [1, 2.5, null]}',
        priority=9,
        reason="Ended: “3 of 4” failed.",
        not_before=after(-60.5),
        depends_on=("0a", "0b"),
        effects=Effects.NONE,
        retries=3,
        timeout=timedelta(minutes=5, microseconds=1),
        cancel_requested=True,
        attempt=4,
        failures=3,
        timeouts=1,
        deferrals=2,
        losses=1,
        holder="",
        runner="r2",
        started_at=after(1.000001),
        finished_at=after(2.5),
        measured=Measured(
            exit_code=None,
            signal=9,
            duration=timedelta(seconds=1.4),
            cpu=timedelta(microseconds=17),
            memory_peak_bytes=2**40,
            output_bytes=99,
            output_cut=True,
            limits=(
                LimitUse(name="memory", value=2.0**31, enforcement="kernel"),
                LimitUse(name="cpu", value=0.5, enforcement="supervised"),
            ),
        ),
        retry_of="0c",
        parent="0d",
        submitted_by="tok1",
        clearing="clear-1",
        labels={"os": "mac", "": "ü"},
    )


def stored(each: Task) -> Task:
    """The task without the position that its store gave it."""
    return each._replace(change=0)
