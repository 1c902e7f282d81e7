"""What we answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, RootModel

from gateway.schemas.base import Output, WithUnknown
from gateway.schemas.runners import Runner
from gateway.schemas.service import Service


class Fault(Output):
    """One fault in one part of what was sent."""

    path: str
    message: str


class Problem(Output):
    """What went wrong, as RFC 9457 has it, with a stable code and what to do about it."""

    type: str
    title: str
    status: int
    code: str = Field(description="Stable, snake_case.")
    detail: str = Field(description="One sentence for a person.")
    remedy: str | None = Field(description="What to do, a line to type where there is one.")
    fields: list[Fault] = Field(default_factory=list, description="Every fault that was found.")


class Usage(Output):
    """What the newest attempt used."""

    cpu_seconds: float
    memory_peak_bytes: int | None = Field(
        description="The largest resident set that was seen. Null: it ended before its first sample and took less than"
        " the process that starts scripts, about 20 MB; below that the kernel's own figure tells nothing."
    )


class Limit(Output):
    """One limit of the newest attempt, in seconds, bytes or a count, and who held it."""

    value: float
    enforcement: Literal["kernel", "supervised", "none"]
    detail: str | None = Field(description="By what it is held (bubblewrap), or what that means (reachable).")


class Task(WithUnknown):
    """A task as it stands."""

    id: str
    agent: str
    project: str | None = Field(description="Null: the workspace.")
    params: dict[str, Any]
    priority: int
    state: str
    reason: str | None
    cancel_requested: bool
    attempt: int
    attempts_max: int
    fence: int
    effects: str
    exit_code: int | None
    signal: int | None
    created_at: datetime | None
    ready_at: datetime | None
    not_before: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    usage: Usage | None
    limits: dict[str, Limit]
    sandbox: str | None = Field(
        description="By what the newest attempt was kept from everything else: bubblewrap, landlock, sandbox-exec."
    )
    secrets: str | None = Field(
        description="Whether the newest attempt could reach the secrets of whatever ran it: reachable, out of reach."
    )
    output_tail: str | None = Field(description="Only in GET /tasks/<id>.")
    report_fault: str | None = Field(
        description="Why the newest attempt's report was not taken; null: it was, or it wrote none. Only in GET"
        " /tasks/<id>."
    )
    stragglers: int | None = Field(
        description="Processes of the newest attempt that outlived the script and were ended; null: none did. Only in"
        " GET /tasks/<id>."
    )
    output_bytes: int
    output_cut: bool
    depends_on: list[str]
    retry_of: str | None
    parent: str | None
    submitted_by: str | None
    labels: dict[str, str]
    timeout_seconds: float | None
    runner: str | None
    service: Service | None = Field(description="Of a service that runs and has ended before. Only in GET /tasks/<id>.")


class OneTask(Output):
    """One task."""

    task: Task


class ManyTasks(Output):
    """Several tasks, in the order of the request."""

    tasks: list[Task]


class Accepted(RootModel[OneTask | ManyTasks]):
    """What was accepted, in the form in which it was asked for."""


class TaskPage(Output):
    """A page of tasks, newest first."""

    tasks: list[Task]
    counts: dict[str, int] = Field(description="All tasks per state, whatever the filter.")
    next: str | None = Field(description="`cursor` of the next page; null: this was the last.")


class Cancelled(Output):
    """A task that is cancelled or on its way there, or had ended."""

    task: Task
    already_ended: bool


class Explanation(Output):
    """Why a task is where it is."""

    code: str = Field(description="A stable word.")
    sentence: str
    until: datetime | None = Field(description="When it may change by itself.")
    remedy: str | None
    task: Task


class TaskSummary(Output):
    """A task in few words."""

    id: str
    state: str
    exit_code: int | None
    finished_at: datetime | None


class Agent(WithUnknown):
    """An agent and how it has fared."""

    name: str
    aliases: list[str]
    kind: str
    description: str
    state: str
    source: str
    faults: list[str]
    notices: list[str]
    effects: str | None
    timeout_seconds: float | None
    memory_bytes: int | None
    retries: int
    uses: list[str]
    schedule: str | None
    next_run_at: datetime | None = Field(description="When its schedule starts it next.")
    current_tasks: list[str]
    queued: int
    last_task: TaskSummary | None
    success_rate: float | None
    predicted_failure: float | None
    breaker: str | None
    held_reason: str | None
    held_until: datetime | None
    restarts: int
    concurrency_max: int | None
    service: Service | None = Field(description="Null: it is no service, or has not ended.")


class Agents(Output):
    """Every agent."""

    agents: list[Agent]
    counts: dict[str, int] = Field(description="Agents per state.")


class Store(Output):
    """The coordinator's database."""

    bytes: int


class Disk(Output):
    """The disk that holds it."""

    free_bytes: int


class Mode(Output):
    """The operating mode; `since` is null while nobody has set one."""

    mode: str
    reason: str | None
    actor: str | None
    since: datetime | None
    stop_file: bool


class ModeChange(Output):
    """The mode after a change."""

    mode: Mode
    changed: bool


class BareHealth(Output):
    """All that is told without a token."""

    status: Literal["ok", "degraded", "down"]


class Health(WithUnknown):
    """What is told with a token."""

    status: Literal["ok", "degraded", "down"]
    reasons: list[str] = Field(description="Why it is not ok, a sentence each.")
    services: dict[str, Literal["serving", "not_serving"]]
    runners: list[Runner] | None
    store: Store | None
    disk: Disk | None
    mode: Mode | None


class AnyHealth(RootModel[Health | BareHealth]):
    """With a token, without one."""


class Coverage(WithUnknown):
    """The latest coverage report of one project."""

    project: str | None = Field(description="Null: the workspace.")
    summary: str
    python: dict[str, Any] | None
    swift: dict[str, Any] | None
    trend: Any
    data: dict[str, Any] = Field(description="The report as it was published.")
    task_id: str
    agent: str
    published_at: datetime | None


class CoverageStatus(Output):
    """The latest coverage per project."""

    coverage: list[Coverage] | None = Field(description="Null: nothing has been published yet.")
    reason: str | None = Field(description="Why it is null.")
    remedy: str | None


class Report(Output):
    """The latest report of one type about one project."""

    type: str
    project: str | None
    summary: str
    data: dict[str, Any]
    task_id: str
    agent: str
    published_at: datetime | None


class Reports(Output):
    """Reports, newest first."""

    reports: list[Report]


class Parked(Output):
    """A scope whose tasks are refused for now."""

    scope: str
    reason: str
    until: datetime | None
    tasks: int


class QueueFigures(WithUnknown):
    """The queue in figures."""

    counts: dict[str, int]
    open: int
    open_max: int
    paused: bool
    paused_reason: str | None
    oldest_ready_at: datetime | None
    throughput_per_minute: float
    wait_p50_seconds: float | None
    wait_p99_seconds: float | None
    parked: list[Parked]


class AgentFigures(Output):
    """The agents in figures."""

    total: int
    by_state: dict[str, int]
    held: list[str]


class BreakerFigures(Output):
    """The breakers in figures."""

    by_state: dict[str, int]
    not_closed: list[str]


class Dashboard(WithUnknown):
    """The figures behind the dashboard."""

    at: datetime
    queue: QueueFigures
    runners: list[Runner]
    agents: AgentFigures
    breakers: BreakerFigures | None
    mode: Mode | None
    store: Store
    disk: Disk


class BreakerChange(Output):
    """One change of a breaker's state."""

    at: datetime | None
    before: str
    after: str
    reason: str
    actor: str | None


class Breaker(Output):
    """A breaker."""

    scope: str
    state: str
    consecutive_failures: int
    window_attempts: int
    window_failures: int
    until: datetime | None
    epoch: int
    reason: str | None
    probe_task_id: str | None
    history: list[BreakerChange]


class Breakers(Output):
    """Breakers."""

    breakers: list[Breaker]


class OneBreaker(Output):
    """A breaker after a change."""

    breaker: Breaker


class Changed(Output):
    """Whether that changed anything."""

    changed: bool


class Cleared(Output):
    """What a clearing did, and how to undo it."""

    cleared: int
    dry_run: bool
    clearing_id: str | None
    undo: str | None = Field(description="The line that undoes it; null: nothing to undo.")


class Restored(Output):
    """How many tasks were submitted again."""

    restored: int
