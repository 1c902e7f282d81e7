"""Between the runner's wire messages and our values."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration

from foundation.errors import Invalid, QuantumError
from protos.coordinator.v1 import runners_pb2 as pb
from protos.coordinator.v1 import tasks_pb2
from services.coordinator.app.attachments import (
    Ack,
    Beat,
    Follow,
    Grant,
    HeartbeatAck,
    Hello,
    HostState,
    Message,
    Order,
    OrderKind,
)
from services.coordinator.domain.attempt import (
    AttemptEvent,
    Ended,
    Frozen,
    Returned,
    ServiceNews,
    Started,
    Unrecorded,
    What,
)
from services.coordinator.domain.defaults import ServiceRule
from services.coordinator.domain.failure import AttemptEnd, EndCause
from services.coordinator.domain.manifest import Sandbox
from services.coordinator.domain.task import LimitUse, Measured

BATCH_BYTES = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ENFORCEMENTS = {
    tasks_pb2.ENFORCEMENT_KERNEL: "kernel",
    tasks_pb2.ENFORCEMENT_SUPERVISED: "supervised",
    tasks_pb2.ENFORCEMENT_NONE: "none",
}
_CAUSES = {getattr(pb, f"END_CAUSE_{cause.name}"): cause for cause in EndCause}
_ORDERS = {kind: getattr(pb, f"ORDER_KIND_{kind.name}") for kind in OrderKind}


def hello_from(message: pb.RunnerHello) -> Hello:
    """Raises Invalid when the runner does not say who it is."""
    if not message.name or not message.incarnation:
        raise Invalid("runner_unnamed", "A runner must state its name and its incarnation.")
    return Hello(
        name=message.name,
        host=message.host,
        incarnation=message.incarnation,
        slots=message.slots,
        labels=dict(message.labels),
        version=message.version,
        held=frozenset((ref.task_id, ref.fence) for ref in message.held),
        services_max=message.services_max,
        memory_bytes=message.memory_bytes,
        enforcement=dict(message.enforcement),
        checks_max=message.checks_max,
        returning=message.returning,
    )


def beat_from(message: pb.Heartbeat) -> Beat:
    """What it says of attempts that are not its own is sorted out later."""
    return Beat(
        sequence=message.sequence,
        held=[(ref.task_id, ref.fence) for ref in message.held],
        draining=message.draining,
        waits={(wait.attempt.task_id, wait.attempt.fence): wait.reason for wait in message.waits},
        stalled=message.stalled,
    )


def host_state_from(message: pb.HostState) -> HostState:
    return HostState(message.held_reason, message.memory_available_bytes, message.cpu_share, message.disk_short)


def events_from(message: pb.AttemptEvents) -> list[AttemptEvent]:
    """Raises nothing: an event that cannot be read is told as such, and harms no other."""
    limits: list[tuple[LimitUse, ...]] = [()]
    for shared in message.limits:
        limits.append(
            tuple([_limit(limit.name, limit.value, limit.enforcement, limit.detail) for limit in shared.limits])
        )
    return [_event_or_fault(event, limits) for event in message.events]


def _event_or_fault(event: pb.AttemptEvent, limits: Sequence[tuple[LimitUse, ...]]) -> AttemptEvent:
    try:
        return _event_from(event, limits)
    except (QuantumError, ValueError, OverflowError, IndexError) as fault:
        ref, said = event.attempt, f"{type(fault).__name__}: {fault}"[:300]
        what = {"result": What.END, "returned": What.RETURN}.get(event.WhichOneof("event") or "", What.NEWS)
        return Unrecorded(ref.task_id, ref.fence, what, said)


def _event_from(event: pb.AttemptEvent, limits: Sequence[tuple[LimitUse, ...]]) -> AttemptEvent:
    task_id, fence = event.attempt.task_id, event.attempt.fence
    match event.WhichOneof("event"):
        case "result":
            return _ended_from(task_id, fence, event.result, limits)
        case "started":
            return Started(task_id, fence, _moment(event.started.at_us))
        case "returned":
            return Returned(task_id, fence, event.returned.reason)
        case "paused":
            return Frozen(task_id, fence, True)
        case "resumed":
            return Frozen(task_id, fence, False)
        case "service":
            return _service_news_from(task_id, fence, event.service)
    raise Invalid("empty_event", f"The runner sent an event of task {task_id} that says nothing.")


def _ended_from(task_id: str, fence: int, result: pb.Result, limits: Sequence[tuple[LimitUse, ...]]) -> Ended:
    measured = Measured(
        exit_code=result.exit_code if result.HasField("exit_code") else None,
        signal=result.signal if result.HasField("signal") else None,
        duration=timedelta(0, 0, result.duration_us),
        cpu=timedelta(0, 0, result.cpu_us),
        memory_peak_bytes=result.memory_peak_bytes or None,
        output_bytes=result.output_bytes,
        output_cut=result.output_cut,
        limits=limits[result.limits],
    )
    cause = _CAUSES.get(result.cause)
    if cause is None:
        raise Invalid("unknown_cause", f"The runner gave no known cause for the end of task {task_id}.")
    return Ended(
        task_id=task_id,
        fence=fence,
        end=AttemptEnd(cause=cause, sentence=result.sentence, measured=measured),
        started_at=_moment(result.started_at_us) if result.HasField("started_at_us") else None,
        finished_at=_moment(result.finished_at_us),
        output_tail=result.output_tail,
        report=result.report_json.decode("utf-8", "replace"),
        report_fault=result.report_fault,
        tree_dead=result.tree_dead,
        stragglers=result.stragglers,
        epoch=result.epoch,
    )


def _service_news_from(task_id: str, fence: int, news: pb.ServiceNews) -> ServiceNews:
    return ServiceNews(
        task_id=task_id,
        fence=fence,
        restarts=news.restarts,
        next_start_at=_moment(news.next_start_at_us) if news.next_start_at_us else None,
        last_end=news.last_end,
        last_lines=news.last_lines,
        escalated=news.escalated,
        health=news.health,
    )


@lru_cache(maxsize=1024)
def _limit(name: str, value: float, enforcement: tasks_pb2.Enforcement, detail: str) -> LimitUse:
    """Shared, because nearly all attempts of an agent have the same."""
    return LimitUse(name=name, value=value, enforcement=_ENFORCEMENTS.get(enforcement, "none"), detail=detail)


def welcome(lease: timedelta, heartbeat: timedelta, disowned: Sequence[tuple[str, int]]) -> pb.AttachResponse:
    return pb.AttachResponse(
        welcome=pb.Welcome(
            lease=_duration(lease),
            heartbeat=_duration(heartbeat),
            disowned=[pb.AttemptRef(task_id=task_id, fence=fence) for task_id, fence in disowned],
        )
    )


def responses_of(messages: Sequence[Message]) -> Iterator[pb.AttachResponse]:
    """Pack what waits into few wire messages; leases and acknowledgements are batched, leases up to 1 MiB."""
    leases = _Leases()
    acks = pb.ResultAcks()
    for message in messages:
        match message:
            case Grant():
                if not leases.add(message):
                    yield leases.response()
                    leases = _Leases()
                    leases.add(message)
            case Ack(task_id, fence, accepted):
                (acks.accepted if accepted else acks.refused).add(task_id=task_id, fence=fence)
            case Order() | HeartbeatAck() | Follow():
                if leases:
                    # An order may be about a lease that stands before it in the queue.
                    yield leases.response()
                    leases = _Leases()
                yield _single(message)
    if leases:
        yield leases.response()
    if acks.accepted or acks.refused:
        yield pb.AttachResponse(result_acks=acks)


class _Leases:
    """One message of leases, with the terms that they share."""

    def __init__(self) -> None:
        self._message = pb.Leases()
        self._size = 0
        self._positions: dict[tuple[object, ...], int] = {}

    def __bool__(self) -> bool:
        return bool(self._message.leases)

    def add(self, grant: Grant) -> bool:
        """Take one in; false when the message would become too large, and is not empty."""
        task = grant.task
        terms = self._position(grant)
        lease = pb.Lease(
            task_id=task.id,
            fence=task.fence,
            attempt=task.attempt + 1,
            terms=terms,
            params_json=task.params.encode(),
            last_report_json=grant.last_report.encode(),
            alone=task.alone,
            credential=grant.credential,
            epoch=grant.epoch,
        )
        self._size += lease.ByteSize()
        if self and self._size > BATCH_BYTES:
            return False
        self._message.leases.append(lease)
        return True

    def response(self) -> pb.AttachResponse:
        return pb.AttachResponse(leases=self._message)

    def _position(self, grant: Grant) -> int:
        task = grant.task
        # The manifest by identity: it lives as long as the grants do, and comparing it would cost more than it saves.
        key = (task.agent, task.project, task.timeout, grant.folder, id(grant.agent))
        position = self._positions.get(key)
        if position is None:
            position = self._positions[key] = len(self._positions)
            self._message.terms.append(_terms_of(grant))
        return position


def _single(message: Order | HeartbeatAck | Follow) -> pb.AttachResponse:
    match message:
        case Order(task_id, fence, kind, reason):
            ref = pb.AttemptRef(task_id=task_id, fence=fence)
            return pb.AttachResponse(
                orders=pb.Orders(orders=[pb.Order(attempt=ref, kind=_ORDERS[kind], reason=reason)])
            )
        case HeartbeatAck(sequence):
            return pb.AttachResponse(heartbeat_ack=pb.HeartbeatAck(sequence=sequence))
        case Follow():
            return pb.AttachResponse(
                follow=pb.FollowLog(
                    follow_id=message.follow_id,
                    attempt=pb.AttemptRef(task_id=message.task_id, fence=message.fence),
                    offset=message.offset,
                    follow=message.follow,
                    stop=message.stop,
                )
            )


def _terms_of(grant: Grant) -> pb.LeaseTerms:
    task, agent, defaults = grant.task, grant.agent, grant.defaults
    is_service = agent.kind == "service"
    # Whatever runs for ever has neither a wall clock nor an end of its output and of its processor time by default.
    timeout = task.timeout or agent.timeout or (None if is_service else defaults.timeout)
    output = defaults.output_bytes_max if agent.output_bytes_max is None and not is_service else agent.output_bytes_max
    cpu_time = agent.cpu_time or (None if is_service else defaults.cpu_time)
    idle_timeout = agent.idle_timeout or (None if is_service else defaults.idle_timeout)
    return pb.LeaseTerms(
        agent=task.agent,
        project=task.project,
        script=agent.script,
        interpreter=agent.interpreter,
        folder=grant.folder,
        params_as_arguments=agent.params_as_arguments,
        env=agent.env,
        timeout=_duration_or_none(timeout),
        idle_timeout=_duration_or_none(idle_timeout),
        memory_bytes=_either(agent.memory_bytes, defaults.memory_bytes),
        processes_max=_either(agent.processes_max, defaults.processes_max),
        open_files_max=_either(agent.open_files_max, defaults.open_files_max),
        output_bytes_max=output or 0,
        required=agent.required,
        grace=_duration(defaults.grace),
        cpu_cores=agent.cpu_cores or defaults.cpu_cores,
        cpu_time=_duration_or_none(cpu_time),
        work_files_max=_either(agent.work_files_max, defaults.work_files_max),
        work_bytes_max=_either(agent.work_bytes_max, defaults.work_bytes_max),
        run_as=agent.run_as,
        secrets=agent.secrets,
        secret_params=agent.secret_params,
        sandbox=_sandbox(agent.sandbox) if agent.sandbox is not None else None,
        service=_service(defaults.service, agent.health_every) if is_service and defaults.service else None,
        script_sha256=agent.script_sha256,
        builtin=agent.builtin,
        check=agent.is_at_home,
    )


def _sandbox(sandbox: Sandbox) -> pb.Sandbox:
    return pb.Sandbox(write=sandbox.write, read=sandbox.read, hosts=sandbox.hosts, network=sandbox.network)


def _service(rule: ServiceRule, health_every: timedelta | None) -> pb.Service:
    return pb.Service(
        backoff=_duration(rule.backoff),
        backoff_max=_duration(rule.backoff_max),
        escalate=rule.escalate,
        hold=rule.hold,
        window=_duration(rule.window),
        health=_duration_or_none(health_every),
    )


def _either(declared: int | None, default: int) -> int:
    return default if declared is None else declared


def _duration_or_none(value: timedelta | None) -> Duration | None:
    return None if value is None else _duration(value)


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(0, 0, micros)


def _duration(value: timedelta) -> Duration:
    return Duration(seconds=value.days * 86400 + value.seconds, nanos=value.microseconds * 1000)
