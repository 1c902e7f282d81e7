"""Between the wire's messages and our values, for the queue, the agents and their reports."""

from google.protobuf.duration_pb2 import Duration

from protos.coordinator.v1 import agents_pb2, queue_pb2, reports_pb2
from services.coordinator.app.agents import AgentState, AgentView
from services.coordinator.app.queue import ParkedScope, QueueStats
from services.coordinator.convert import EFFECTS, duration, optional_timestamp, service_to, task_to, timestamp
from services.coordinator.domain.fleet import RunnerView
from services.coordinator.domain.task import Effects
from services.coordinator.ports import Report

_AGENT_STATES = {state: getattr(agents_pb2, f"AGENT_STATE_{state.name}") for state in AgentState}


def stats_to(stats: QueueStats) -> queue_pb2.GetQueueStatsResponse:
    """The queue's figures; what is not known stays absent."""
    return queue_pb2.GetQueueStatsResponse(
        counts={state.value: number for state, number in stats.counts.items() if number},
        open=stats.open,
        open_max=stats.open_max,
        paused=bool(stats.paused_reason),
        paused_reason=stats.paused_reason,
        oldest_ready_at=optional_timestamp(stats.oldest_ready_at),
        runners=[runner_to(runner) for runner in stats.fleet.runners],
        parked=[_parked(scope) for scope in stats.parked],
        throughput_per_minute=stats.throughput_per_minute,
        wait_p50_seconds=stats.wait_p50_seconds,
        wait_p99_seconds=stats.wait_p99_seconds,
        store_bytes=stats.store_bytes,
        disk_free_bytes=stats.disk_free_bytes,
    )


def runner_to(runner: RunnerView) -> queue_pb2.Runner:
    """One runner; what is not known is what its field says."""
    return queue_pb2.Runner(
        name=runner.name,
        host=runner.host,
        slots=runner.slots,
        running=runner.running,
        draining=runner.draining,
        attached_at=optional_timestamp(runner.attached_at),
        last_heartbeat_at=optional_timestamp(runner.last_heartbeat_at),
        labels=runner.labels,
        services=runner.services,
        services_max=runner.services_max,
        paused=runner.paused,
        memory_bytes=runner.memory_bytes,
        memory_available_bytes=runner.memory_available_bytes,
        memory_expected_bytes=runner.memory_expected_bytes,
        cpu_share=runner.cpu_share,
        held_reason=runner.held_reason,
        drained=runner.drained,
    )


def _parked(scope: ParkedScope) -> queue_pb2.ParkedScope:
    parked = scope.parked
    return queue_pb2.ParkedScope(
        scope=parked.scope, reason=parked.reason, until=optional_timestamp(parked.until), tasks=scope.tasks
    )


def agent_to(view: AgentView) -> agents_pb2.Agent:
    """One agent; rates and the last task are absent when there are none."""
    spec = view.spec
    return agents_pb2.Agent(
        name=spec.name,
        aliases=spec.aliases,
        kind=spec.kind,
        description=spec.description,
        state=_AGENT_STATES[view.state],
        source=spec.source,
        faults=spec.faults,
        notices=spec.notices,
        effects=EFFECTS[Effects(spec.effects)],
        timeout=_timeout(view),
        memory_bytes=spec.memory_bytes or 0,
        retries=spec.retries,
        uses=spec.uses,
        schedule=spec.schedule.written if spec.schedule is not None else "",
        next_run_at=optional_timestamp(view.next_run_at),
        current_tasks=view.current_tasks,
        queued=view.queued,
        last_task=None if view.last_task is None else task_to(view.last_task, {spec.name: spec}),
        success_rate=view.success_rate,
        predicted_failure=view.predicted_failure,
        breaker=view.breaker,
        held_reason=view.held_reason,
        held_until=optional_timestamp(view.held_until),
        restarts=view.restarts,
        concurrency_max=spec.concurrency_max or 0,
        service=None if view.service is None else service_to(view.service),
    )


def _timeout(view: AgentView) -> Duration | None:
    return None if view.spec.timeout is None else duration(view.spec.timeout)


def report_to(report: Report) -> reports_pb2.Report:
    """One report, its data as the agent wrote it."""
    return reports_pb2.Report(
        type=report.type,
        project=report.project,
        summary=report.summary,
        data_json=report.data.encode(),
        task_id=report.task_id,
        agent=report.agent,
        published_at=timestamp(report.published_at),
    )
