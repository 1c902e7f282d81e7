"""Translates between the coordinator's messages and the values of its client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import overload

from clients.coordinator_values import (
    AgentState,
    AgentView,
    Decision,
    Effects,
    Enforcement,
    Limit,
    ParkedScope,
    QueueStats,
    ReportView,
    RunnerView,
    ServiceStatus,
    TaskFilter,
    TaskPage,
    TaskSpec,
    TaskState,
    TaskView,
    Usage,
)
from clients.wire_values import duration_in, from_json, moment_in, to_duration, to_json, to_timestamp
from foundation.errors import Internal
from protos.coordinator.v1 import agents_pb2, queue_pb2, reports_pb2, tasks_pb2


def word(enum_name: str, prefix: str) -> str:
    """The lower-case word of a wire enum's name: TASK_STATE_QUEUED → queued."""
    return enum_name.removeprefix(prefix).lower()


_STATES: Mapping[int, TaskState] = {
    tasks_pb2.TaskState.Value(f"TASK_STATE_{state.upper()}"): state for state in TaskState
}
_EFFECTS: Mapping[int, Effects] = {
    tasks_pb2.Effects.Value(f"EFFECTS_{effects.upper()}"): effects for effects in Effects
}


def state_from(wire: tasks_pb2.TaskState) -> TaskState:
    """The state of a task; raises Internal for one that this client is too old to know."""
    state = _STATES.get(wire)
    if state is None:
        raise Internal("unknown_state", f"The coordinator named a task state ({wire}) that is not known here.")
    return state


def state_to(state: TaskState) -> str:
    """The wire's name of a state."""
    return f"TASK_STATE_{state.upper()}"


def decision_to(decision: Decision) -> str:
    """The wire's name of a decision."""
    return f"DECISION_{decision.upper()}"


def effects_from(wire: tasks_pb2.Effects) -> Effects | None:
    """What a manifest says of its effects; None when it says nothing, or nothing that is known here."""
    return _EFFECTS.get(wire)


def filter_to(chosen: TaskFilter) -> tasks_pb2.TaskFilter:
    """A filter as the wire has it."""
    states = [state_to(state) for state in sorted(chosen.states)]
    return tasks_pb2.TaskFilter(states=states, agent=chosen.agent, project=chosen.project)


def specs_to(specs: Iterable[TaskSpec]) -> list[tasks_pb2.TaskSpec]:
    """Requests for tasks; one that is repeated is translated once. Raises as `spec_to` does."""
    wire: list[tasks_pb2.TaskSpec] = []
    last: TaskSpec | None = None
    for spec in specs:
        wire.append(wire[-1] if spec is last else spec_to(spec))
        last = spec
    return wire


def spec_to(spec: TaskSpec) -> tasks_pb2.TaskSpec:
    """A request for one task; raises Invalid for a time without a zone or params that are not JSON."""
    return tasks_pb2.TaskSpec(
        agent=spec.agent,
        params_json=to_json(spec.params) if spec.params else b"",
        project=spec.project,
        priority=spec.priority,
        not_before=to_timestamp(spec.not_before),
        depends_on=spec.depends_on,
        ref=spec.ref,
        timeout=to_duration(spec.timeout),
        retries=spec.retries,
        labels=dict(spec.labels),
    )


def task_from(wire: tasks_pb2.Task) -> TaskView:
    """A task."""
    return TaskView(
        id=wire.id,
        agent=wire.agent,
        project=wire.project,
        params=from_json(wire.params_json),
        priority=wire.priority,
        state=state_from(wire.state),
        reason=wire.reason,
        cancel_requested=wire.cancel_requested,
        attempt=wire.attempt,
        attempts_max=wire.attempts_max,
        fence=wire.fence,
        effects=effects_from(wire.effects) or Effects.ONCE,
        exit_code=wire.exit_code if wire.HasField("exit_code") else None,
        signal=wire.signal if wire.HasField("signal") else None,
        created_at=moment_in(wire, "created_at"),
        ready_at=moment_in(wire, "ready_at"),
        not_before=moment_in(wire, "not_before"),
        started_at=moment_in(wire, "started_at"),
        finished_at=moment_in(wire, "finished_at"),
        duration=duration_in(wire, "duration"),
        usage=_usage_from(wire.usage) if wire.HasField("usage") else None,
        limits=tuple(_limit_from(limit) for limit in wire.limits),
        output_tail=wire.output_tail,
        report_fault=wire.report_fault,
        stragglers=wire.stragglers,
        output_bytes=wire.output_bytes,
        output_cut=wire.output_cut,
        depends_on=tuple(wire.depends_on),
        retry_of=wire.retry_of,
        parent=wire.parent,
        submitted_by=wire.submitted_by,
        labels=dict(wire.labels),
        timeout=duration_in(wire, "timeout"),
        runner=wire.runner,
        change=wire.change,
        service=_service_from(wire.service) if wire.HasField("service") else None,
    )


def tasks_from(wire: Iterable[tasks_pb2.Task]) -> tuple[TaskView, ...]:
    """Tasks, in their order."""
    return tuple(task_from(task) for task in wire)


class TasksLater(Sequence[TaskView]):
    """Tasks of an answer, each read when it is looked at: whoever submits thousands seldom looks at all of them."""

    def __init__(self, wire: Sequence[tasks_pb2.Task]) -> None:
        self._wire = wire

    def __len__(self) -> int:
        return len(self._wire)

    @overload
    def __getitem__(self, which: int) -> TaskView: ...

    @overload
    def __getitem__(self, which: slice) -> Sequence[TaskView]: ...

    def __getitem__(self, which: int | slice) -> TaskView | Sequence[TaskView]:
        return tasks_from(self._wire[which]) if isinstance(which, slice) else task_from(self._wire[which])


def counts_from(wire: Mapping[str, int]) -> Mapping[TaskState, int]:
    """Tasks per state, every state named: one that the answer leaves out has none."""
    return {state: wire.get(state, 0) for state in TaskState}


def page_from(wire: tasks_pb2.ListTasksResponse) -> TaskPage:
    """One page of tasks."""
    return TaskPage(tasks=tasks_from(wire.tasks), next=wire.next_page_token or None, counts=counts_from(wire.counts))


def stats_from(wire: queue_pb2.GetQueueStatsResponse) -> QueueStats:
    """The figures of the queue."""
    return QueueStats(
        counts=counts_from(wire.counts),
        open=wire.open,
        open_max=wire.open_max,
        paused=wire.paused,
        paused_reason=wire.paused_reason,
        oldest_ready_at=moment_in(wire, "oldest_ready_at"),
        runners=tuple(runner_from(runner) for runner in wire.runners),
        parked=tuple(_parked_from(scope) for scope in wire.parked),
        throughput_per_minute=wire.throughput_per_minute,
        wait_p50_seconds=wire.wait_p50_seconds if wire.HasField("wait_p50_seconds") else None,
        wait_p99_seconds=wire.wait_p99_seconds if wire.HasField("wait_p99_seconds") else None,
        store_bytes=wire.store_bytes,
        disk_free_bytes=wire.disk_free_bytes,
    )


def agent_from(wire: agents_pb2.Agent) -> AgentView:
    """An agent of the catalogue."""
    return AgentView(
        name=wire.name,
        aliases=tuple(wire.aliases),
        kind=wire.kind,
        description=wire.description,
        state=AgentState(word(agents_pb2.AgentState.Name(wire.state), "AGENT_STATE_")),
        source=wire.source,
        faults=tuple(wire.faults),
        notices=tuple(wire.notices),
        effects=effects_from(wire.effects),
        timeout=duration_in(wire, "timeout"),
        memory_bytes=wire.memory_bytes or None,
        retries=wire.retries,
        uses=tuple(wire.uses),
        schedule=wire.schedule,
        next_run_at=moment_in(wire, "next_run_at"),
        current_tasks=tuple(wire.current_tasks),
        queued=wire.queued,
        last_task=task_from(wire.last_task) if wire.HasField("last_task") else None,
        success_rate=wire.success_rate if wire.HasField("success_rate") else None,
        predicted_failure=wire.predicted_failure if wire.HasField("predicted_failure") else None,
        breaker=wire.breaker or None,
        held_reason=wire.held_reason,
        held_until=moment_in(wire, "held_until"),
        restarts=wire.restarts,
        concurrency_max=wire.concurrency_max,
        service=_service_from(wire.service) if wire.HasField("service") else None,
    )


def report_from(wire: reports_pb2.Report) -> ReportView:
    """A report."""
    return ReportView(
        type=wire.type,
        project=wire.project,
        summary=wire.summary,
        data=from_json(wire.data_json),
        task_id=wire.task_id,
        agent=wire.agent,
        published_at=moment_in(wire, "published_at"),
    )


def _service_from(wire: tasks_pb2.ServiceStatus) -> ServiceStatus:
    return ServiceStatus(
        restarts=wire.restarts,
        next_start_at=moment_in(wire, "next_start_at"),
        last_end=wire.last_end,
        last_lines=wire.last_lines,
        health=wire.health,
    )


def _usage_from(wire: tasks_pb2.Usage) -> Usage:
    return Usage(cpu=wire.cpu.ToTimedelta(), memory_peak_bytes=wire.memory_peak_bytes or None)


def _limit_from(wire: tasks_pb2.Limit) -> Limit:
    enforcement = word(tasks_pb2.Enforcement.Name(wire.enforcement), "ENFORCEMENT_")
    return Limit(name=wire.name, value=wire.value, enforcement=Enforcement(enforcement), detail=wire.detail)


def runner_from(wire: queue_pb2.Runner) -> RunnerView:
    """A runner."""
    return RunnerView(
        name=wire.name,
        host=wire.host,
        slots=wire.slots,
        running=wire.running,
        draining=wire.draining,
        attached_at=moment_in(wire, "attached_at"),
        last_heartbeat_at=moment_in(wire, "last_heartbeat_at"),
        labels=dict(wire.labels),
        services=wire.services,
        services_max=wire.services_max,
        paused=wire.paused,
        memory_bytes=wire.memory_bytes or None,
        memory_available_bytes=wire.memory_available_bytes if wire.memory_available_bytes >= 0 else None,
        memory_expected_bytes=wire.memory_expected_bytes,
        cpu_share=wire.cpu_share if wire.cpu_share >= 0 else None,
        held_reason=wire.held_reason,
        drained=wire.drained,
    )


def _parked_from(wire: queue_pb2.ParkedScope) -> ParkedScope:
    return ParkedScope(scope=wire.scope, reason=wire.reason, until=moment_in(wire, "until"), tasks=wire.tasks)
