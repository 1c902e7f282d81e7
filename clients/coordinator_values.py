"""What goes into and comes out of the coordinator, as plain values that know no wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class TaskState(StrEnum):
    """Where a task is; the first six are open, the last four terminal."""

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

    @property
    def ended(self) -> bool:
        """Whether a task in this state never changes again."""
        return self in ENDED_STATES


ENDED_STATES = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.DEAD})
OPEN_STATES = frozenset(TaskState) - ENDED_STATES


class Effects(StrEnum):
    """Whether an attempt whose end nobody saw may be run again."""

    NONE = "none"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


class Enforcement(StrEnum):
    """Who holds a limit."""

    KERNEL = "kernel"
    SUPERVISED = "supervised"
    NONE = "none"


class Decision(StrEnum):
    """What a person decides about a task that is `needs_decision`."""

    RUN_AGAIN = "run_again"
    FAILED = "failed"
    SUCCEEDED = "succeeded"


class AgentState(StrEnum):
    """How an agent stands."""

    IDLE = "idle"
    RUNNING = "running"
    HELD = "held"
    PAUSED = "paused"
    INVALID = "invalid"
    UNDECLARED = "undeclared"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What a caller asks for; what is None is left to the manifest or the defaults."""

    agent: str
    params: Mapping[str, object] = field(default_factory=dict)
    """A JSON object."""
    project: str = ""
    """Empty: the workspace."""
    priority: int | None = None
    """0 to 9, 9 first; None: 5."""
    not_before: datetime | None = None
    depends_on: tuple[str, ...] = ()
    """Ids, or `#ref` of a task in the same call."""
    ref: str = ""
    timeout: timedelta | None = None
    retries: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an attempt used."""

    cpu: timedelta
    memory_peak_bytes: int | None
    """None: it ended before its first sample and took less than the process that starts scripts, about 20 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of an attempt, in its own unit (seconds, bytes or a count), and who held it.

    Also "sandbox" and "secrets", which have no value: `detail` says by what, and what that means.
    """

    name: str
    value: float
    enforcement: Enforcement
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """How a service has fared since its attempt began, or how it has ended that is held."""

    restarts: int
    next_start_at: datetime | None
    """None: a process exists, or it is held."""
    last_end: str
    last_lines: str
    health: str
    """"healthy", "unhealthy", or empty: it was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """A task as it stands; None and empty mean that there is nothing to tell (yet)."""

    id: str
    agent: str
    project: str
    params: Mapping[str, object]
    priority: int
    state: TaskState
    reason: str
    cancel_requested: bool
    attempt: int
    attempts_max: int
    fence: int
    effects: Effects
    exit_code: int | None
    signal: int | None
    created_at: datetime | None
    ready_at: datetime | None
    not_before: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    duration: timedelta | None
    usage: Usage | None
    limits: tuple[Limit, ...]
    output_tail: str
    """Only from `get_task`."""
    report_fault: str
    """Why the newest attempt's report was not taken. Only from `get_task`."""
    stragglers: int
    """Processes of the newest attempt that outlived its first one, and were ended. Only from `get_task`."""
    output_bytes: int
    output_cut: bool
    depends_on: tuple[str, ...]
    retry_of: str
    parent: str
    submitted_by: str
    labels: Mapping[str, str]
    timeout: timedelta | None
    runner: str
    change: int
    """Position of its latest change in the stream of `watch`."""
    service: ServiceStatus | None = None
    """Of a service that runs. Only from `get_task`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks are meant; what is empty does not narrow."""

    states: frozenset[TaskState] = frozenset()
    agent: str = ""
    project: str = ""


EVERYTHING = TaskFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The accepted tasks, in the order of the request; each is read from the answer when it is looked at."""

    tasks: Sequence[TaskView]
    replayed: bool
    """The idempotency key was known: they were accepted earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """One page of tasks, newest first."""

    tasks: tuple[TaskView, ...]
    next: str | None
    """Hand it to `list_tasks` for the next page; None: this was the last."""
    counts: Mapping[TaskState, int]
    """All tasks per state, whatever the filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelResult:
    """What a cancel changed; `tasks` holds at most 1,000 of them."""

    tasks: tuple[TaskView, ...]
    already_ended: tuple[str, ...]
    cancelled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryResult:
    """The new tasks of a retry, at most 1,000 of them, and how many there are."""

    tasks: tuple[TaskView, ...]
    retried: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a task is where it is."""

    code: str
    """A stable word."""
    sentence: str
    until: datetime | None
    """When it may change by itself; None: not known, or never."""
    remedy: str
    """A command line; empty when there is nothing to do."""
    task: TaskView


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanges:
    """Tasks that changed, and the position after which to resume."""

    tasks: tuple[TaskView, ...]
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """A piece of a task's output."""

    data: bytes
    offset: int
    """Just after `data`: resume here."""
    ended: TaskView | None
    """The task as it ended; only in the last chunk of a followed log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerView:
    """A runner that is attached, or one that is drained and away: then `host` is empty and `attached_at` None."""

    name: str
    host: str
    slots: int
    running: int
    draining: bool
    attached_at: datetime | None
    last_heartbeat_at: datetime | None
    labels: Mapping[str, str] = field(default_factory=dict)
    services: int = 0
    services_max: int = 0
    paused: int = 0
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    memory_expected_bytes: int = 0
    """What it holds is expected to take, by past runs."""
    cpu_share: float | None = None
    held_reason: str = ""
    """Why nothing new starts there; empty: it does."""
    drained: str = ""
    """Who drained it, when and why; empty: nobody did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerDrain:
    """What a drain did: whether it changed anything, and how many tasks and services run there still."""

    changed: bool
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedScope:
    """A scope whose tasks are refused for now."""

    scope: str
    reason: str
    until: datetime | None
    """When admission is asked again; None: when it changes."""
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """The figures of the queue; None: not known yet."""

    counts: Mapping[TaskState, int]
    open: int
    open_max: int
    paused: bool
    paused_reason: str
    oldest_ready_at: datetime | None
    runners: tuple[RunnerView, ...]
    parked: tuple[ParkedScope, ...]
    throughput_per_minute: float
    wait_p50_seconds: float | None
    wait_p99_seconds: float | None
    store_bytes: int
    disk_free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """A clearing of the queue: how many tasks, and the name that undoes it (empty: nothing to undo)."""

    cleared: int
    clearing_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent of the catalogue and how it has fared; None: not known."""

    name: str
    aliases: tuple[str, ...]
    kind: str
    description: str
    state: AgentState
    source: str
    faults: tuple[str, ...]
    notices: tuple[str, ...]
    effects: Effects | None
    """None: its manifest cannot be read."""
    timeout: timedelta | None
    memory_bytes: int | None
    retries: int
    uses: tuple[str, ...]
    schedule: str
    current_tasks: tuple[str, ...]
    queued: int
    last_task: TaskView | None
    success_rate: float | None
    predicted_failure: float | None
    breaker: str | None
    """None: safety was not asked or is out of reach."""
    held_reason: str
    held_until: datetime | None
    restarts: int
    concurrency_max: int
    service: ServiceStatus | None = None
    """None: it is none, or has not ended."""
    next_run_at: datetime | None = None
    """When its schedule starts it next; None: none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectView:
    """A project: a name and an absolute folder."""

    name: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectList:
    """The projects, and the faults of the file that names them."""

    projects: tuple[ProjectView, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """The latest report of one type about one project."""

    type: str
    project: str
    """Empty: the workspace itself."""
    summary: str
    data: Mapping[str, object]
    task_id: str
    agent: str
    published_at: datetime | None
