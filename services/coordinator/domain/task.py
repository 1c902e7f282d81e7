"""What a task is, and the one function per event that may change it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from foundation.errors import Conflict, Stale

FENCE_SHIFT = 20


class TaskState(StrEnum):
    """Where a task is; `docs/states.md` has a paragraph on each."""

    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    NEEDS_DECISION = "needs_decision"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"

    __hash__ = str.__hash__  # an enum's own is Python code, run some twenty times in a task's life


S = TaskState
ENDED = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.DEAD})
OPEN = frozenset(S) - ENDED
WAITING = frozenset({S.SCHEDULED, S.BLOCKED, S.QUEUED})
FINISHED = ENDED | {S.NEEDS_DECISION}  # no attempt is going on and none will by itself

# Every move that there is. A state may also be kept while its reason or its lease changes (queued → queued).
LEGAL_MOVES: Mapping[TaskState, frozenset[TaskState]] = {
    S.SCHEDULED: frozenset({S.QUEUED, S.CANCELLED, S.NEEDS_DECISION}),
    S.BLOCKED: frozenset({S.SCHEDULED, S.QUEUED, S.CANCELLED, S.NEEDS_DECISION}),
    S.QUEUED: frozenset({S.QUEUED, S.SCHEDULED, S.RUNNING, S.CANCELLED, S.DEAD, S.NEEDS_DECISION}),
    S.RUNNING: frozenset(
        {
            S.PAUSED,
            S.QUEUED,
            S.SCHEDULED,
            S.NEEDS_DECISION,
            S.SUCCEEDED,
            S.FAILED,
            S.CANCELLED,
            S.DEAD,
            S.RUNNING,
        }
    ),
    S.PAUSED: frozenset(
        {
            S.RUNNING,
            S.QUEUED,
            S.SCHEDULED,
            S.NEEDS_DECISION,
            S.SUCCEEDED,
            S.FAILED,
            S.CANCELLED,
            S.DEAD,
            S.PAUSED,
        }
    ),
    S.NEEDS_DECISION: frozenset({S.QUEUED, S.SUCCEEDED, S.FAILED, S.CANCELLED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
    S.DEAD: frozenset(),
}


class Effects(StrEnum):
    """May an attempt whose end nobody saw be run again? `once` says no."""

    NONE = "none"
    IDEMPOTENT = "idempotent"
    ONCE = "once"

    @property
    def repeatable(self) -> bool:
        return self is not Effects.ONCE


class Decision(StrEnum):
    """What a person may decide about a task that waits for one."""

    RUN_AGAIN = "run_again"
    FAILED = "failed"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUse:
    """One limit of an attempt: its value in its own unit and who enforced it (kernel, supervised, none)."""

    name: str
    value: float
    enforcement: str
    detail: str = ""
    """By what it is held, or what that means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What an attempt left behind, as its runner measured it. `duration` leaves paused time out."""

    exit_code: int | None = None
    signal: int | None = None
    duration: timedelta | None = None
    cpu: timedelta | None = None
    memory_peak_bytes: int | None = None
    output_bytes: int = 0
    output_cut: bool = False
    limits: tuple[LimitUse, ...] = ()


NOTHING_MEASURED = Measured()
NO_LABELS: Mapping[str, str] = {}


class Task(NamedTuple):
    """A request that an agent be run once with params.

    A tuple, because every event of every task copies one: that costs a third of a dataclass's copy.

    `params` is the text of a JSON object. `holder` names the runner that holds the lease, `runner` the one that
    held it last. `attempt` counts attempts that were started; `failures`, `timeouts`, `deferrals` and `losses`
    count how they ended, because each class has a rule of its own. `change` is the store's position of the
    latest change.
    """

    id: str
    agent: str
    state: TaskState
    created_at: datetime
    ready_at: datetime
    fence: int
    project: str = ""
    params: str = "{}"
    priority: int = 5
    reason: str = ""
    not_before: datetime | None = None
    depends_on: tuple[str, ...] = ()
    effects: Effects = Effects.ONCE
    retries: int = 0
    timeout: timedelta | None = None
    cancel_requested: bool = False
    attempt: int = 0
    failures: int = 0
    timeouts: int = 0
    deferrals: int = 0
    losses: int = 0
    holder: str = ""
    runner: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    measured: Measured = NOTHING_MEASURED
    retry_of: str = ""
    parent: str = ""
    submitted_by: str = ""
    clearing: str = ""
    labels: Mapping[str, str] = NO_LABELS
    change: int = 0

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def leased(self) -> bool:
        """A runner holds the right to run it, whether or not it has spawned yet."""
        return self.holder != ""

    @property
    def ready(self) -> bool:
        """It may be leased."""
        return self.state is TaskState.QUEUED and self.holder == "" and not self.cancel_requested

    @property
    def alone(self) -> bool:
        """Lost with its runner twice: the next attempt runs alone, so that a poison task harms nobody."""
        return self.losses >= 2


# What was asked for: fixed by the acceptance, moved by no event.
request_of: Callable[[Task], tuple[object, ...]] = attrgetter(
    "id", "agent", "created_at", "project", "params", "priority", "depends_on", "effects", "retries", "timeout",
    "retry_of", "parent", "submitted_by", "labels",
)  # fmt: skip


def first_fence(now: datetime) -> int:
    """Start of a task's fences: unix seconds × 2²⁰, so that a restored database hands out none used before."""
    return int(now.timestamp()) << FENCE_SHIFT


def _move(task: Task, to: TaskState, **changes: Any) -> Task:
    if to not in LEGAL_MOVES[task.state]:
        raise Conflict(
            "illegal_move",
            f"Task {task.id} is {task.state} and cannot become {to}.",
            remedy=f"See `quantum why {task.id}`.",
        )
    return task._replace(state=to, **changes)


def faults(task: Task) -> tuple[str, ...]:
    """What is wrong with a task as a stored row, a sentence each: what every store refuses to hold."""
    active = task.state in (S.RUNNING, S.PAUSED)
    rules = (
        (not 0 <= task.priority <= 9, "the priority is outside 0 to 9"),
        (task.fence <= 0, "the fence is not positive"),
        (min(_counters(task)) < 0, "a counter is negative"),
        (task.leased and not (active or task.state is S.QUEUED), "a runner holds what cannot run"),
        (active and not task.leased, "it runs without a holder"),
        (active and (task.attempt < 1 or task.started_at is None), "it runs and never started"),
        ((task.finished_at is not None) != (task.state in FINISHED), "finished_at does not fit the state"),
        (task.state is S.SCHEDULED and task.not_before is None, "it is scheduled for no time"),
        (task.state is S.BLOCKED and not task.depends_on, "it is blocked by nothing"),
        (_unproved(task), "it succeeded without an exit code 0 or a recorded decision"),
    )
    return tuple(sentence for broken, sentence in rules if broken)


def _counters(task: Task) -> tuple[int, ...]:
    return (task.retries, task.attempt, task.failures, task.timeouts, task.deferrals, task.losses)


def _unproved(task: Task) -> bool:
    return task.state is S.SUCCEEDED and task.measured.exit_code != 0 and task.reason == ""


def accept(task: Task, *, unmet_parents: bool, now: datetime) -> Task:
    """Place a new task: blocked while parents have not succeeded, scheduled before its time, else queued."""
    if unmet_parents:
        return task._replace(state=S.BLOCKED, reason="Waits for the tasks that it depends on.", ready_at=now)
    return _place(task, now)


def _place(task: Task, now: datetime) -> Task:
    if task.not_before is not None and task.not_before > now:
        return task._replace(state=S.SCHEDULED, reason="", ready_at=task.not_before)
    return task._replace(state=S.QUEUED, reason="", ready_at=now)


def fall_due(task: Task, *, now: datetime) -> Task:
    """A scheduled task's time has come. Its place among equals is the moment it was due, not when we looked."""
    if task.state is not S.SCHEDULED:
        raise Conflict("not_scheduled", f"Task {task.id} is {task.state}, not scheduled.")
    return _move(task, S.QUEUED, reason="", ready_at=task.not_before or now)


def unblock(task: Task, *, now: datetime) -> Task:
    """The last task that it depended on has succeeded."""
    if task.state is not S.BLOCKED:
        raise Conflict("not_blocked", f"Task {task.id} is {task.state}, not blocked.")
    placed = _place(task, now)
    return _move(task, placed.state, reason="", ready_at=placed.ready_at)


def lose_parent(task: Task, parent: Task, *, now: datetime) -> Task:
    """A task that it depended on ended without success: it can never run."""
    if task.state is not S.BLOCKED:
        raise Conflict("not_blocked", f"Task {task.id} is {task.state}, not blocked.")
    return _move(
        task,
        S.CANCELLED,
        reason=f"Cancelled: task {parent.id} ({parent.agent}), which it depends on, is {parent.state}.",
        finished_at=now,
    )


def lease(task: Task, runner: str) -> Task:
    """Hand the right to run the next attempt to a runner, under a new fence. It is not a start."""
    if not task.ready:
        raise Conflict("not_ready", f"Task {task.id} is {task.state} and not free to be leased.")
    return _move(task, S.QUEUED, fence=task.fence + 1, holder=runner, runner=runner, reason="")


def check_fence(task: Task, fence: int) -> None:
    """Raise Stale unless `fence` is the one under which the task is held now."""
    if not task.leased or task.fence != fence:
        raise Stale("stale_fence", f"Task {task.id} is {task.state} and no longer held under fence {fence}.")


def start(task: Task, fence: int, *, at: datetime) -> Task:
    """A process exists; `at` is the runner's time of the spawn. Told twice under one fence, it starts once."""
    check_fence(task, fence)
    if task.state is not S.QUEUED:
        return task
    return _move(
        task,
        S.RUNNING,
        attempt=task.attempt + 1,
        started_at=at,
        finished_at=None,
        measured=NOTHING_MEASURED,
        reason=_kept_reason(task, ""),
    )


def pause(task: Task, fence: int, *, reason: str) -> Task:
    """Its process tree is frozen."""
    check_fence(task, fence)
    return _move(task, S.PAUSED, reason=_kept_reason(task, reason))


def thaw(task: Task, fence: int) -> Task:
    """Its process tree runs again."""
    check_fence(task, fence)
    if task.state is S.QUEUED:
        raise Conflict("not_started", f"Task {task.id} has not started, so there is nothing to thaw.")
    if task.state is S.RUNNING:
        return task  # said again after a break
    return _move(task, S.RUNNING, reason=_kept_reason(task, ""))


def _kept_reason(task: Task, reason: str) -> str:
    """Why somebody asked for the end outlives what happens to the attempt until then."""
    return task.reason if task.cancel_requested else reason


def hand_back(task: Task, fence: int, *, reason: str, now: datetime) -> Task:
    """A lease comes back unspawned: nothing happened, nothing is counted, its place in the queue is kept."""
    check_fence(task, fence)
    if task.state is not S.QUEUED:
        raise Conflict("already_started", f"Task {task.id} is {task.state}: its attempt has started.")
    if task.cancel_requested:
        return _move(task, S.CANCELLED, holder="", finished_at=now, reason=task.reason)
    return _move(task, S.QUEUED, holder="", reason=reason)


def request_cancel(task: Task, *, reason: str, now: datetime) -> Task:
    """Cancel what waits; ask for the end of what is held. Raises Conflict on an ended task."""
    if task.ended:
        raise Conflict("already_ended", f"Task {task.id} has ended: {task.state}.")
    if task.leased:
        return task._replace(cancel_requested=True, reason=reason)
    return _move(task, S.CANCELLED, reason=reason, finished_at=now, cancel_requested=True)


def decide(task: Task, decision: Decision, *, note: str, now: datetime) -> Task:
    """Record what a person decided about an attempt whose end nobody saw."""
    if task.state is not S.NEEDS_DECISION:
        raise Conflict(
            "no_decision_needed",
            f"Task {task.id} is {task.state}: there is nothing to decide.",
            remedy=f"`quantum retry {task.id}` runs an ended task again.",
        )
    match decision:
        case Decision.RUN_AGAIN:
            return _move(task, S.QUEUED, reason=note, ready_at=now, finished_at=None)
        case Decision.SUCCEEDED:
            return _move(task, S.SUCCEEDED, reason=note or "A person decided that it succeeded.", finished_at=now)
        case Decision.FAILED:
            return _move(task, S.FAILED, reason=note or "A person decided that it failed.", finished_at=now)


def end(task: Task, state: TaskState, *, reason: str, measured: Measured, now: datetime, **counts: int) -> Task:
    """The task's one terminal state, after an attempt."""
    return _move(task, state, reason=reason, measured=measured, finished_at=now, holder="", **counts)


def again(
    task: Task, *, reason: str, measured: Measured, not_before: datetime | None, now: datetime, **counts: int
) -> Task:
    """Another attempt: at once (queued) or after a delay (scheduled). `counts` are the counters that grew."""
    if not_before is None:
        return _move(task, S.QUEUED, reason=reason, measured=measured, holder="", ready_at=now, **counts)
    return _move(
        task,
        S.SCHEDULED,
        reason=reason,
        measured=measured,
        holder="",
        not_before=not_before,
        ready_at=not_before,
        **counts,
    )


def await_decision(task: Task, *, reason: str, measured: Measured, now: datetime, **counts: int) -> Task:
    """An attempt that must not run twice ended in a way that nobody can vouch for."""
    return _move(task, S.NEEDS_DECISION, reason=reason, measured=measured, holder="", finished_at=now, **counts)
