"""A command line whose services are played, so that a verb is tested without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from cli.session import Session
from clients.coordinator_values import (
    AgentState,
    CancelResult,
    Clearing,
    Decision,
    Effects,
    RetryResult,
    Submitted,
    TaskFilter,
    TaskPage,
    TaskSpec,
    TaskState,
    TaskView,
)
from clients.safety_values import BreakerView, ModeChange, ModeStatus
from foundation.clock import ManualClock
from foundation.errors import NotFound, Unavailable

T = TypeVar("T")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

A_TASK = TaskView(
    id="t1",
    agent="build",
    project="",
    params={},
    priority=5,
    state=TaskState.QUEUED,
    reason="",
    cancel_requested=False,
    attempt=0,
    attempts_max=1,
    fence=0,
    effects=Effects.ONCE,
    exit_code=None,
    signal=None,
    created_at=NOW,
    ready_at=NOW,
    not_before=None,
    started_at=None,
    finished_at=None,
    duration=None,
    usage=None,
    limits=(),
    output_tail="",
    report_fault="",
    stragglers=0,
    output_bytes=0,
    output_cut=False,
    depends_on=(),
    retry_of="",
    parent="",
    submitted_by="user",
    labels={},
    timeout=None,
    runner="",
    change=1,
)


@dataclass
class PlayedCoordinator:
    """Holds tasks in a dictionary and remembers what it was asked."""

    tasks: dict[str, TaskView] = field(default_factory=dict)
    submitted: list[TaskSpec] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    page_size: int = 1000
    agents: dict[str, Any] = field(default_factory=dict)
    merges: Any = None
    schedules: Any = None

    def put(self, task_id: str, **changes: Any) -> TaskView:
        """Have a task."""
        self.tasks[task_id] = replace(A_TASK, id=task_id, **changes)
        return self.tasks[task_id]

    async def submit(self, specs: Sequence[TaskSpec], *, idempotency_key: str = "") -> Submitted:
        """Accept each as a new task."""
        self.submitted += specs
        self.keys.append(idempotency_key)
        made = [self.put(f"new-{len(self.tasks)}", agent=spec.agent) for spec in specs]
        return Submitted(tasks=tuple(made), replayed=False)

    async def get_task(self, task_id: str) -> TaskView:
        """One of them."""
        if task_id not in self.tasks:
            raise NotFound("unknown_task", f"There is no task {task_id}.")
        return self.tasks[task_id]

    async def get_agent(self, name: str) -> Any:
        """Any name is an agent's; `alias` is that of `build`."""
        named = "build" if name == "alias" else name
        return self.agents.get(named) or PlayedAgent(name=named)

    async def list_agents(self) -> Any:
        """Those that were put here."""
        return tuple(self.agents.values())

    async def reload_agents(self) -> Any:
        """Those that were put here."""
        return tuple(self.agents.values())

    async def list_tasks(self, chosen: TaskFilter, *, limit: int = 0, cursor: str = "") -> TaskPage:
        """Those that the filter means, a page at a time."""
        fitting = [
            task
            for task in self.tasks.values()
            if (not chosen.states or task.state in chosen.states)
            and (not chosen.agent or task.agent == chosen.agent)
            and (not chosen.project or task.project == chosen.project)
        ]
        start, size = int(cursor or 0), min(limit or 100, self.page_size)
        more = str(start + size) if start + size < len(fitting) else None
        return TaskPage(tasks=tuple(fitting[start : start + size]), next=more, counts={})

    async def cancel(self, ids: Sequence[str], *, reason: str = "") -> CancelResult:
        """End those that have not ended."""
        ended = [task_id for task_id in ids if self.tasks[task_id].state.ended]
        changed = [
            self.put(task_id, state=TaskState.CANCELLED, reason=reason) for task_id in ids if task_id not in ended
        ]
        return CancelResult(tasks=tuple(changed), already_ended=tuple(ended), cancelled=len(changed))

    async def retry(self, ids: Sequence[str], *, idempotency_key: str = "") -> RetryResult:
        """A new task for each."""
        self.keys.append(idempotency_key)
        made = [self.put(f"again-{task_id}", retry_of=task_id) for task_id in ids]
        return RetryResult(tasks=tuple(made), retried=len(made))

    async def decide(self, task_id: str, decision: Decision, *, note: str = "") -> TaskView:
        """Do as told."""
        return self.put(task_id, state=TaskState.SUCCEEDED, reason=f"{decision}: {note}")

    async def clear_queue(
        self, *, agent: str = "", reason: str = "", dry_run: bool = False, deadline: timedelta
    ) -> Clearing:
        """Say that three were cleared; a call that may concern a million tasks is given minutes."""
        assert deadline >= timedelta(minutes=5)
        return Clearing(cleared=3, clearing_id="" if dry_run else "c1")


class NoBudgets:
    """No attempt has ended yet."""

    async def list(self) -> tuple[Any, ...]:
        """None."""
        return ()


@dataclass
class PlayedSafety:
    """Holds breakers in a dictionary and remembers which were reset, and why."""

    breakers: dict[str, BreakerView] = field(default_factory=dict)
    resets: dict[str, str] = field(default_factory=dict)
    mode: str = "NORMAL"
    mode_calls: list[tuple[str, str, str]] = field(default_factory=list)
    away: bool = False
    audit: Any = None
    budgets: Any = field(default_factory=lambda: NoBudgets())
    spend: Any = None

    async def get_mode(self) -> ModeStatus:
        """The mode that was set."""
        if self.away:
            raise Unavailable("safety_away", "Safety does not answer.")
        return ModeStatus(mode=self.mode, reason="", actor="", since=None, stop_file=False)

    async def tighten_mode(self, mode: str, *, reason: str) -> ModeChange:
        """Set it, and remember by which verb."""
        return await self._set_mode("tighten", mode, reason)

    async def resume_mode(self, mode: str = "NORMAL", *, reason: str = "") -> ModeChange:
        """Set it, and remember by which verb."""
        return await self._set_mode("resume", mode, reason)

    async def _set_mode(self, verb: str, mode: str, reason: str) -> ModeChange:
        changed, self.mode = self.mode != mode, mode
        self.mode_calls.append((verb, mode, reason))
        status = ModeStatus(mode=mode, reason=reason, actor="ann", since=NOW, stop_file=False)
        return ModeChange(status=status, changed=changed)

    def put(self, scope: str, state: str, *, reason: str = "") -> None:
        """Have a breaker."""
        self.breakers[scope] = BreakerView(
            scope=scope,
            state=state,
            consecutive_failures=0,
            window_attempts=0,
            window_failures=0,
            until=None,
            epoch=1,
            reason=reason,
            probe_task_id="",
        )

    async def list_breakers(self, *, not_closed: bool = False) -> tuple[BreakerView, ...]:
        """Those that there are."""
        return tuple(one for one in self.breakers.values() if not (not_closed and one.state == "closed"))

    async def reset_breaker(self, scope: str, *, reason: str = "") -> BreakerView:
        """Close it."""
        self.resets[scope] = reason
        self.put(scope, "closed")
        return self.breakers[scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedAgent:
    """As much of an agent as the verbs look at that do not list them."""

    name: str
    kind: str = "task"
    state: AgentState = AgentState.IDLE
    faults: tuple[str, ...] = ()
    current_tasks: tuple[str, ...] = ()
    queued: int = 0
    held_reason: str = ""
    last_task: TaskView | None = None
    aliases: tuple[str, ...] = ()
    effects: Effects | None = Effects.ONCE
    uses: tuple[str, ...] = ()


class PlayedConnection:
    """Runs each call on a loop of its own."""

    def __init__(self, coordinator: PlayedCoordinator, safety: PlayedSafety) -> None:
        self.coordinator = coordinator
        self.safety = safety

    def call(self, work: Coroutine[Any, Any, T], timeout: timedelta = timedelta(minutes=1)) -> T:
        """Run it."""
        return asyncio.run(work)

    def stream(self, items: AsyncIterator[T], *, tick: timedelta) -> Iterator[T | None]:
        """All of it, once it has ended."""

        async def walk() -> list[T]:
            return [item async for item in items]

        return iter(asyncio.run(walk()))


class PlayedSession(Session):
    """A session in a folder, connected to played services."""

    def __init__(
        self, folder: Path, coordinator: PlayedCoordinator | None = None, safety: PlayedSafety | None = None
    ) -> None:
        super().__init__(environ={"QUANTUM_WORKSPACE": str(folder)}, cwd=folder, clock=ManualClock())
        self.played = coordinator or PlayedCoordinator()
        self.played_safety = safety or PlayedSafety()

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """The played services."""
        yield PlayedConnection(self.played, self.played_safety)
