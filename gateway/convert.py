"""Turns what callers send into the clients' values, and the clients' values into what we answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from clients.coordinator_values import (
    AgentView,
    Explanation,
    QueueStats,
    ReportView,
    RunnerView,
    ServiceStatus,
    TaskFilter,
    TaskPage,
    TaskSpec,
    TaskState,
    TaskView,
)
from clients.safety_values import BreakerView, ModeChange, ModeStatus
from foundation.errors import Invalid
from foundation.quantities import parse_duration
from gateway.schemas import answers, requests
from gateway.schemas.runners import Runner
from gateway.schemas.service import Service


def specs_of(submission: requests.Submission) -> tuple[list[TaskSpec], bool]:
    """The tasks that are asked for, and whether they came as several. Raises Invalid for an impossible moment."""
    if isinstance(submission.root, requests.NewTasks):
        return [_spec(task) for task in submission.root.tasks], True
    return [_spec(submission.root)], False


def filter_of(query: requests.ListQuery) -> TaskFilter:
    """Which tasks a query means."""
    states = frozenset(TaskState(state) for state in query.state)
    return TaskFilter(states=states, agent=query.agent or "", project=query.project or "")


def task(view: TaskView) -> answers.Task:
    """A task, each figure that is not known with its reason."""
    return answers.Task(
        id=view.id,
        agent=view.agent,
        project=view.project or None,
        params=dict(view.params),
        priority=view.priority,
        state=view.state,
        reason=view.reason or None,
        cancel_requested=view.cancel_requested,
        attempt=view.attempt,
        attempts_max=view.attempts_max,
        fence=view.fence,
        effects=view.effects,
        exit_code=view.exit_code,
        signal=view.signal,
        created_at=view.created_at,
        ready_at=view.ready_at,
        not_before=view.not_before,
        started_at=view.started_at,
        finished_at=view.finished_at,
        duration_seconds=_seconds(view.duration),
        usage=None
        if view.usage is None
        else answers.Usage(cpu_seconds=view.usage.cpu.total_seconds(), memory_peak_bytes=view.usage.memory_peak_bytes),
        limits={
            limit.name: answers.Limit(
                value=limit.value, enforcement=limit.enforcement.value, detail=limit.detail or None
            )
            for limit in view.limits
        },
        sandbox=_detail(view, "sandbox"),
        secrets=_detail(view, "secrets"),
        output_tail=view.output_tail or None,
        report_fault=view.report_fault or None,
        stragglers=view.stragglers or None,
        output_bytes=view.output_bytes,
        output_cut=view.output_cut,
        depends_on=list(view.depends_on),
        retry_of=view.retry_of or None,
        parent=view.parent or None,
        submitted_by=view.submitted_by or None,
        labels=dict(view.labels),
        timeout_seconds=_seconds(view.timeout),
        runner=view.runner or None,
        service=_service(view.service),
        unknown=_unknown_of_task(view),
    )


def _service(view: ServiceStatus | None) -> Service | None:
    if view is None:
        return None
    return Service(
        restarts=view.restarts,
        next_start_at=view.next_start_at,
        last_end=view.last_end or None,
        last_lines=view.last_lines or None,
        health=view.health or None,
    )


def _detail(view: TaskView, name: str) -> str | None:
    return next((limit.detail for limit in view.limits if limit.name == name), None)


def page(value: TaskPage) -> answers.TaskPage:
    """A page of tasks."""
    return answers.TaskPage(tasks=[task(view) for view in value.tasks], counts=_by_word(value.counts), next=value.next)


def explanation(value: Explanation) -> answers.Explanation:
    """Why a task is where it is."""
    return answers.Explanation(
        code=value.code,
        sentence=value.sentence,
        until=value.until,
        remedy=value.remedy or None,
        task=task(value.task),
    )


def agent(view: AgentView) -> answers.Agent:
    """An agent, each figure that is not known with its reason."""
    return answers.Agent(
        name=view.name,
        aliases=list(view.aliases),
        kind=view.kind,
        description=view.description,
        state=view.state,
        source=view.source,
        faults=list(view.faults),
        notices=list(view.notices),
        effects=view.effects,
        timeout_seconds=_seconds(view.timeout),
        memory_bytes=view.memory_bytes,
        retries=view.retries,
        uses=list(view.uses),
        schedule=view.schedule or None,
        next_run_at=view.next_run_at,
        current_tasks=list(view.current_tasks),
        queued=view.queued,
        last_task=None if view.last_task is None else summary(view.last_task),
        success_rate=view.success_rate,
        predicted_failure=view.predicted_failure,
        breaker=view.breaker,
        held_reason=view.held_reason or None,
        held_until=view.held_until,
        restarts=view.restarts,
        concurrency_max=view.concurrency_max or None,
        service=_service(view.service),
        unknown=_unknown_of_agent(view),
    )


def agents(views: Iterable[AgentView]) -> answers.Agents:
    """Every agent."""
    listed = [agent(view) for view in views]
    return answers.Agents(agents=listed, counts=dict(Counter(one.state for one in listed)))


def runner(view: RunnerView) -> Runner:
    """One runner."""
    return Runner(
        name=view.name,
        host=view.host or None,
        slots=view.slots,
        running=view.running,
        draining=view.draining,
        attached_at=view.attached_at,
        last_heartbeat_at=view.last_heartbeat_at,
        labels=dict(view.labels),
        services=view.services,
        services_max=view.services_max,
        paused=view.paused,
        memory_bytes=view.memory_bytes,
        memory_available_bytes=view.memory_available_bytes,
        memory_expected_bytes=view.memory_expected_bytes,
        cpu_share=view.cpu_share,
        held_reason=view.held_reason or None,
        drained=view.drained or None,
    )


def queue_figures(stats: QueueStats) -> answers.QueueFigures:
    """The queue in figures."""
    unknown = {}
    if stats.oldest_ready_at is None:
        unknown["oldest_ready_at"] = "No task is ready."
    for name in ("wait_p50_seconds", "wait_p99_seconds"):
        if getattr(stats, name) is None:
            unknown[name] = "Nothing has started since the coordinator did."
    return answers.QueueFigures(
        counts=_by_word(stats.counts),
        open=stats.open,
        open_max=stats.open_max,
        paused=stats.paused,
        paused_reason=stats.paused_reason or None,
        oldest_ready_at=stats.oldest_ready_at,
        throughput_per_minute=stats.throughput_per_minute,
        wait_p50_seconds=stats.wait_p50_seconds,
        wait_p99_seconds=stats.wait_p99_seconds,
        parked=[
            answers.Parked(scope=scope.scope, reason=scope.reason, until=scope.until, tasks=scope.tasks)
            for scope in stats.parked
        ],
        unknown=unknown,
    )


def mode(status: ModeStatus) -> answers.Mode:
    """The operating mode."""
    return answers.Mode(
        mode=status.mode,
        reason=status.reason or None,
        actor=status.actor or None,
        since=status.since,
        stop_file=status.stop_file,
    )


def mode_change(change: ModeChange) -> answers.ModeChange:
    """The mode after a change."""
    return answers.ModeChange(mode=mode(change.status), changed=change.changed)


def breaker(view: BreakerView) -> answers.Breaker:
    """A breaker."""
    return answers.Breaker(
        scope=view.scope,
        state=view.state,
        consecutive_failures=view.consecutive_failures,
        window_attempts=view.window_attempts,
        window_failures=view.window_failures,
        until=view.until,
        epoch=view.epoch,
        reason=view.reason or None,
        probe_task_id=view.probe_task_id or None,
        history=[
            answers.BreakerChange(
                at=change.at,
                before=change.before,
                after=change.after,
                reason=change.reason,
                actor=change.actor or None,
            )
            for change in view.history
        ],
    )


def report(view: ReportView) -> answers.Report:
    """A report."""
    return answers.Report(
        type=view.type,
        project=view.project or None,
        summary=view.summary,
        data=dict(view.data),
        task_id=view.task_id,
        agent=view.agent,
        published_at=view.published_at,
    )


def coverage(view: ReportView) -> answers.Coverage:
    """A coverage report, with what it does not hold named as unknown."""
    python, swift, trend = (view.data.get(name) for name in ("python", "swift", "trend"))
    unknown = {
        name: f"The report of task {view.task_id} does not say."
        for name, value in (("python", python), ("swift", swift), ("trend", trend))
        if value is None
    }
    return answers.Coverage(
        project=view.project or None,
        summary=view.summary,
        python=python if isinstance(python, dict) else None,
        swift=swift if isinstance(swift, dict) else None,
        trend=trend,
        data=dict(view.data),
        task_id=view.task_id,
        agent=view.agent,
        published_at=view.published_at,
        unknown=unknown,
    )


def _spec(new: requests.NewTask) -> TaskSpec:
    return TaskSpec(
        agent=new.agent,
        params=new.params,
        project=new.project or "",
        priority=new.priority,
        not_before=None if new.not_before is None else _moment(new.not_before),
        depends_on=tuple(new.depends_on),
        ref=new.ref or "",
        timeout=None if new.timeout is None else parse_duration(new.timeout),
        retries=new.retries,
        labels=new.labels,
    )


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise Invalid("bad_time", f"“{text}” is outside the years 1 to 9999.") from None


def summary(view: TaskView) -> answers.TaskSummary:
    """A task in few words."""
    return answers.TaskSummary(id=view.id, state=view.state, exit_code=view.exit_code, finished_at=view.finished_at)


def _unknown_of_task(view: TaskView) -> dict[str, str]:
    not_started = "It has not started yet."
    not_ended = "It has not ended yet." if view.attempt else not_started
    ended = view.state.ended
    reasons = {
        "started_at": (view.started_at, "It never started." if ended else not_started),
        "finished_at": (view.finished_at, not_ended),
        "duration_seconds": (view.duration, "It never ran." if ended else not_ended),
        "usage": (view.usage, "No attempt has been measured." if ended else not_ended),
        "exit_code": (view.exit_code, "It did not exit by itself." if ended else not_ended),
        "signal": (view.signal, "No signal ended it." if ended else not_ended),
        "runner": (view.runner or None, "It never started." if ended else not_started),
    }
    unknown = {name: reason for name, (value, reason) in reasons.items() if value is None}
    if view.usage is not None and view.usage.memory_peak_bytes is None:
        unknown["usage.memory_peak_bytes"] = "It ended before its first sample and took less than about 20 MB."
    return unknown


def _unknown_of_agent(view: AgentView) -> dict[str, str]:
    no_history = "It has not run yet."
    reasons = {
        "last_task": (view.last_task, no_history),
        "success_rate": (view.success_rate, no_history),
        "predicted_failure": (view.predicted_failure, no_history),
        "breaker": (view.breaker, "Safety was not asked or cannot be reached."),
        "effects": (view.effects, "Its manifest cannot be read."),
        "timeout_seconds": (view.timeout, "Its manifest cannot be read."),
        "concurrency_max": (view.concurrency_max or None, "Its manifest sets none."),
        "memory_bytes": (view.memory_bytes, "Its manifest sets none; memory_limit of the configuration holds."),
    }
    return {name: reason for name, (value, reason) in reasons.items() if value is None}


def _by_word(counts: Mapping[TaskState, int]) -> dict[str, int]:
    return {state.value: count for state, count in counts.items()}


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
