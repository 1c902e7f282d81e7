"""What the coordinator's use cases need from outside: a store, the catalogue's files, a folder for reports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.error_report import ErrorReport
from services.coordinator.domain.ready import ReadyEntry as ReadyEntry
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports_merges import MergeRows
from services.coordinator.ports_safety import Act, OutboxEntry
from services.coordinator.ports_schedules import ScheduleRows

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks a list, a cancel or a retry means. Empty fields mean all."""

    states: frozenset[TaskState] = frozenset()
    agent: str = ""
    project: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What an idempotency key stood for. `digest` is of the payload, `task_ids` in the order of the request."""

    digest: str
    task_ids: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The latest report of one type for one project ("" is the workspace). `data` is the text of a JSON object."""

    type: str
    project: str
    summary: str
    data: str
    task_id: str
    agent: str
    published_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHistory:
    """How an agent has fared: its last 100 counted ends, oldest first, "1" for a success, "0" for a failure.

    `peaks` are its last 100 known memory peaks, as `domain/footprint` writes them.
    """

    agent: str
    ends: str = ""
    last_task_id: str = ""
    peaks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A write that carried a stale fence; kept so that a person can see that it was refused."""

    task_id: str
    fence: int
    held_fence: int
    runner: str
    what: str
    at: datetime


class StoreTransaction(MergeRows, ScheduleRows, Protocol):
    """One transaction. Reads see its own writes. Everything in it is durable together, or nothing is."""

    # -- tasks
    def insert(self, tasks: Sequence[Task]) -> None:
        """Add new tasks with the parents they depend on. Raises Conflict on an id that exists."""

    def save(self, pairs: Sequence[tuple[Task, Task]]) -> None:
        """Replace each (before, after), guarded by the state and fence of `before`: if any row is no longer so, raises
        Stale and the transaction must be abandoned. Moves an ended task never, and a task twice never (Internal)."""

    def lease(self, pairs: Sequence[tuple[Task, Task]]) -> None:
        """As `save`, for leases that go out: no start, so not a change that is watched; `change` stays as it was."""

    def task(self, task_id: str) -> Task | None: ...

    def tasks(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        """Those that exist, by id."""

    def page(self, wanted: TaskFilter, *, before: tuple[datetime, str] | None, limit: int) -> Sequence[Task]:
        """Newest first by (created_at, id), strictly before the position given."""

    def matching(self, wanted: TaskFilter, *, after_id: str, limit: int) -> Sequence[Task]:
        """By id upwards, strictly after `after_id`: for bulk verbs that walk in pages."""

    def counts(self) -> Mapping[tuple[str, TaskState], int]:
        """How many tasks there are per (agent, state). Costs the same however many tasks there are."""

    # -- what dispatch reads; each is a walk along an index, never a scan
    def ready(self, agent: str, *, after: ReadyEntry | None, limit: int, labels: str = "") -> Sequence[ReadyEntry]:
        """Queued and unleased tasks of an agent in the order of dispatch, strictly after an entry.

        Those without labels of their own, or those with exactly the ones of a text by `labels_text`.
        """

    def ready_labels(self, agent: str, *, after: str, limit: int) -> Sequence[str]:
        """The labels that an agent's ready tasks ask for, as texts upwards, strictly after one of them."""

    def due(self, now: datetime, *, limit: int) -> Sequence[Task]:
        """Scheduled tasks whose time has come, earliest first."""

    def next_due(self) -> datetime | None: ...

    def held(self, *, after_id: str, limit: int) -> Sequence[Task]:
        """Leased tasks by id upwards."""

    def blocked_on(self, parent_ids: Sequence[str]) -> Sequence[Task]:
        """Blocked tasks that depend on any of these."""

    def unmet_parents(self, task_id: str) -> Sequence[Task]:
        """Parents of a task that have not succeeded."""

    # -- changes
    def position(self) -> int:
        """Position of the latest change; 0 before the first."""

    def changes(self, *, after: int, limit: int) -> Sequence[Task]:
        """Tasks whose latest change is after a position, in the order of `change`."""

    # -- output of the newest attempt, why its report was not taken ("": it was, or there was none), and how many
    # processes outlived its first one
    def put_output(self, task_id: str, text: str, report_fault: str = "", stragglers: int = 0) -> None: ...

    def output(self, task_id: str) -> str: ...

    def report_fault(self, task_id: str) -> str: ...

    def stragglers(self, task_id: str) -> int: ...

    # -- idempotency keys
    def accepted(self, token_id: str, key: str) -> Accepted | None: ...

    def remember(self, token_id: str, key: str, accepted: Accepted) -> None: ...

    # -- outbox to safety
    def post(self, entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
        """Add them and return them with their sequences."""

    def outbox(self, *, limit: int) -> Sequence[OutboxEntry]:
        """Oldest first."""

    def acknowledge(self, up_to_sequence: int) -> None: ...

    # -- privileged acts that are to be told to the audit log
    def note_act(self, act: Act) -> None: ...

    def acts(self, *, limit: int) -> Sequence[Act]:
        """Oldest first, with their numbers."""

    def forget_acts(self, up_to_number: int) -> None: ...

    # -- failed attempts that are to become files
    def note_failed_attempt(self, report: ErrorReport) -> None:
        """Keep it until it is a file; beyond 1,000 that wait none is added: a storm needs no file for each gust."""

    def failed_attempts(self, *, limit: int) -> Sequence[tuple[int, ErrorReport]]:
        """Oldest first, with their numbers."""

    def forget_failed_attempts(self, up_to_number: int) -> None: ...

    # -- reports, histories, refusals, clearings, small facts
    def publish(self, report: Report) -> None: ...

    def reports(self, *, type: str, project: str) -> Sequence[Report]:
        """Newest first; "" means all."""

    def report(self, *, agent: str, project: str) -> Report | None:
        """The latest that this agent published for this project."""

    def histories(self) -> Mapping[str, AgentHistory]: ...

    def record_history(self, history: AgentHistory) -> None: ...

    def refuse(self, refusal: Refusal) -> None:
        """Record it; the newest 10,000 are kept."""

    def refusals(self, task_id: str) -> Sequence[Refusal]: ...

    def in_clearing(self, clearing: str, *, after_id: str, limit: int) -> Sequence[Task]: ...

    def fact(self, name: str) -> str | None:
        """A small named text, such as who paused the queue."""

    def set_fact(self, name: str, value: str | None) -> None: ...

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
        """Delete at most `limit` ended tasks, oldest first; return how many.

        Those go that ended before a time (`dead` and `needs_decision`: before `decided_before`), and others while there
        are more rows or bytes than allowed. A task that an open one depends on stays. Old idempotency keys go too.
        """

    def size_bytes(self) -> int: ...


class Store(Protocol):
    """The coordinator's only memory. Two implementations stand behind it, and one conformance suite."""

    async def write(self, work: Callable[[StoreTransaction], T]) -> T:
        """Run `work` in one transaction and return when it is durable; an exception undoes it and is raised here.

        `work` may be run again after a conflict and must have no effect outside the transaction.
        """

    async def read(self, work: Callable[[StoreTransaction], T]) -> T:
        """Run `work` on a consistent snapshot that includes every write that was answered."""

    async def check(self) -> Sequence[str]:
        """Faults of integrity, a sentence each; empty when sound."""

    async def close(self) -> None: ...


class ErrorFolder(Protocol):
    """Where a person reads of failed attempts."""

    def write(self, reports: Sequence[ErrorReport]) -> None:
        """Write a file for each, whole; one that is there already is written again. Raises OSError."""


class Snapshots(Protocol):
    """Copies of both databases for one backup."""

    async def take(self, backup_id: str) -> None:
        """Copy the coordinator's, then safety's. Raises Conflict when there is one, Unavailable without safety."""


class Catalogue(Protocol):
    """The agents and projects there are now; reading the files again is the adapter's own business."""

    def agents(self) -> Mapping[str, AgentSpec]: ...

    def find(self, name: str) -> AgentSpec:
        """By name or alias. Raises NotFound with the nearest name, Invalid for a name that breaks the rule."""

    def project_folder(self, name: str) -> str:
        """Absolute folder of a project. Raises NotFound with the nearest name."""

    def projects(self) -> Mapping[str, str]: ...

    def repositories(self) -> Mapping[str, bool]:
        """By project, whether its folder holds a git repository."""

    def project_faults(self) -> Sequence[str]: ...

    def reload(self) -> None: ...
