"""Between the runner's wire messages and our values."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from foundation.errors import Invalid
from protos.coordinator.v1 import runners_pb2 as pb
from protos.coordinator.v1 import tasks_pb2
from services.coordinator.app.attachments import Ack, Follow, Grant, HeartbeatAck, Hello, Message, Order, OrderKind
from services.coordinator.domain.attempt import AttemptEvent, Ended, Frozen, Returned, Started
from services.coordinator.domain.failure import AttemptEnd, EndCause
from services.coordinator.domain.task import LimitUse, Measured

BATCH_BYTES = 1 << 20

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
    )


def events_from(message: pb.AttemptEvents) -> list[AttemptEvent]:
    return [_event_from(event) for event in message.events]


def _event_from(event: pb.AttemptEvent) -> AttemptEvent:
    task_id, fence = event.attempt.task_id, event.attempt.fence
    match event.WhichOneof("event"):
        case "started":
            return Started(task_id, fence, _datetime(event.started.at))
        case "result":
            return _ended_from(task_id, fence, event.result)
        case "returned":
            return Returned(task_id, fence, event.returned.reason)
        case "paused":
            return Frozen(task_id, fence, True)
        case "resumed":
            return Frozen(task_id, fence, False)
    raise Invalid("empty_event", f"The runner sent an event of task {task_id} that says nothing.")


def _ended_from(task_id: str, fence: int, result: pb.Result) -> Ended:
    measured = Measured(
        exit_code=result.exit_code if result.HasField("exit_code") else None,
        signal=result.signal if result.HasField("signal") else None,
        duration=_timedelta(result.duration),
        cpu=_timedelta(result.usage.cpu),
        memory_peak_bytes=result.usage.memory_peak_bytes or None,
        output_bytes=result.output_bytes,
        output_cut=result.output_cut,
        limits=tuple([_limit(limit.name, limit.value, limit.enforcement) for limit in result.limits]),
    )
    cause = _CAUSES.get(result.cause)
    if cause is None:
        raise Invalid("unknown_cause", f"The runner gave no known cause for the end of task {task_id}.")
    return Ended(
        task_id=task_id,
        fence=fence,
        end=AttemptEnd(cause=cause, sentence=result.sentence, measured=measured),
        started_at=_datetime(result.started_at) if result.HasField("started_at") else None,
        finished_at=_datetime(result.finished_at),
        output_tail=result.output_tail,
        report=result.report_json.decode("utf-8", "replace"),
        report_fault=result.report_fault,
        tree_dead=result.tree_dead,
        stragglers=result.stragglers,
    )


@lru_cache(maxsize=1024)
def _limit(name: str, value: float, enforcement: tasks_pb2.Enforcement) -> LimitUse:
    """Shared, because nearly all attempts of an agent have the same."""
    return LimitUse(name=name, value=value, enforcement=_ENFORCEMENTS.get(enforcement, "none"))


def welcome(lease: timedelta, heartbeat: timedelta, disowned: Sequence[tuple[str, int]]) -> pb.AttachResponse:
    return pb.AttachResponse(
        welcome=pb.Welcome(
            lease=_duration(lease),
            heartbeat=_duration(heartbeat),
            disowned=[pb.AttemptRef(task_id=task_id, fence=fence) for task_id, fence in disowned],
        )
    )


def responses_of(messages: Sequence[Message]) -> Iterator[pb.AttachResponse]:
    """Pack what waits into few wire messages; leases and acknowledgements are batched up to 1 MiB each."""
    leases: list[pb.Lease] = []
    acks: list[pb.ResultAck] = []
    size = 0
    for message in messages:
        match message:
            case Grant():
                lease = lease_of(message)
                size += lease.ByteSize()
                if leases and size > BATCH_BYTES:
                    yield pb.AttachResponse(leases=pb.Leases(leases=leases))
                    leases, size = [], lease.ByteSize()
                leases.append(lease)
            case Ack(task_id, fence, accepted):
                acks.append(pb.ResultAck(attempt=pb.AttemptRef(task_id=task_id, fence=fence), accepted=accepted))
            case Order() | HeartbeatAck() | Follow():
                if leases:
                    # An order may be about a lease that stands before it in the queue.
                    yield pb.AttachResponse(leases=pb.Leases(leases=leases))
                    leases, size = [], 0
                yield _single(message)
    if leases:
        yield pb.AttachResponse(leases=pb.Leases(leases=leases))
    if acks:
        yield pb.AttachResponse(result_acks=pb.ResultAcks(acks=acks))


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


def lease_of(grant: Grant) -> pb.Lease:
    task, agent, defaults = grant.task, grant.agent, grant.defaults
    timeout = task.timeout or agent.timeout or defaults.timeout
    memory = agent.memory_bytes if agent.memory_bytes is not None else defaults.memory_bytes
    return pb.Lease(
        task_id=task.id,
        fence=task.fence,
        attempt=task.attempt + 1,
        agent=task.agent,
        project=task.project,
        script=agent.script,
        interpreter=agent.interpreter,
        folder=grant.folder,
        params_json=task.params.encode(),
        params_as_arguments=agent.params_as_arguments,
        env=agent.env,
        timeout=_duration(timeout),
        idle_timeout=_duration(agent.idle_timeout) if agent.idle_timeout is not None else None,
        memory_bytes=memory,
        processes_max=agent.processes_max or 0,
        open_files_max=agent.open_files_max or 0,
        required=agent.required,
        last_report_json=grant.last_report.encode(),
        alone=task.alone,
        grace=_duration(defaults.grace),
    )


def _datetime(stamp: Timestamp) -> datetime:
    return datetime.fromtimestamp(stamp.seconds + stamp.nanos / 1e9, UTC)


def _timedelta(duration: Duration) -> timedelta:
    return timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1000)


def _duration(value: timedelta) -> Duration:
    return Duration(seconds=value.days * 86400 + value.seconds, nanos=value.microseconds * 1000)
