"""Between the values of the runner's stream and its wire messages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import assert_never

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from clients.attachment_values import (
    AttemptEvent,
    AttemptRef,
    Credit,
    EndCause,
    Events,
    Follow,
    FromCoordinator,
    FromRunner,
    Frozen,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Lease,
    Leases,
    LogChunk,
    Order,
    OrderKind,
    Orders,
    Result,
    ResultAcks,
    Returned,
    Started,
    Welcome,
)
from foundation.errors import Internal
from protos.coordinator.v1 import runners_pb2 as pb
from protos.coordinator.v1 import tasks_pb2

# gRPC refuses larger messages; a batch of many results is closed well below.
BATCH_BYTES = 1 << 20

_CAUSES = {cause: getattr(pb, f"END_CAUSE_{cause.name}") for cause in EndCause}
_ORDERS = {pb.OrderKind.Value(f"ORDER_KIND_{kind.name}"): kind for kind in OrderKind}
_ENFORCEMENTS = {
    "kernel": tasks_pb2.ENFORCEMENT_KERNEL,
    "supervised": tasks_pb2.ENFORCEMENT_SUPERVISED,
    "none": tasks_pb2.ENFORCEMENT_NONE,
}


def request_of(message: FromRunner) -> Iterator[pb.AttachRequest]:
    """The wire messages of one value: several when a batch of events would be over 1 MiB."""
    match message:
        case Hello():
            yield pb.AttachRequest(hello=_hello(message))
        case Credit(leases_max):
            yield pb.AttachRequest(credit=pb.Credit(leases_max=leases_max))
        case Heartbeat(sequence, held, draining):
            beat = pb.Heartbeat(sequence=sequence, held=map(_ref, held), draining=draining)
            yield pb.AttachRequest(heartbeat=beat)
        case Events(events):
            for batch in _batches(events):
                yield pb.AttachRequest(events=pb.AttemptEvents(events=batch))
        case LogChunk(follow_id, data, offset, end):
            yield pb.AttachRequest(log=pb.LogChunk(follow_id=follow_id, data=data, offset=offset, end=end))
        case _:
            assert_never(message)


def value_of(response: pb.AttachResponse) -> FromCoordinator:
    """The value of a wire message; raises Internal for one that this runner does not know."""
    match response.WhichOneof("message"):
        case "leases":
            return Leases([_lease(lease) for lease in response.leases.leases])
        case "result_acks":
            acks = response.result_acks.acks
            return ResultAcks(
                accepted=[_ref_from(ack.attempt) for ack in acks if ack.accepted],
                refused=[_ref_from(ack.attempt) for ack in acks if not ack.accepted],
            )
        case "heartbeat_ack":
            ack = response.heartbeat_ack
            return HeartbeatAck(ack.sequence, [_order(order) for order in ack.orders])
        case "orders":
            return Orders([_order(order) for order in response.orders.orders], response.orders.drain)
        case "follow":
            return _follow(response.follow)
        case "welcome":
            return Welcome(
                lease_seconds=_seconds(response.welcome.lease),
                heartbeat_seconds=_seconds(response.welcome.heartbeat),
                disowned=[_ref_from(ref) for ref in response.welcome.disowned],
            )
        case other:
            raise Internal(
                "unknown_message", f"The coordinator sent a message that this runner does not know: {other}."
            )


def _batches(events: Sequence[AttemptEvent]) -> Iterator[list[pb.AttemptEvent]]:
    batch: list[pb.AttemptEvent] = []
    size = 0
    for event in events:
        wire = _event(event)
        bytes_more = wire.ByteSize()
        if batch and size + bytes_more > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(wire)
        size += bytes_more
    if batch:
        yield batch


def _event(event: AttemptEvent) -> pb.AttemptEvent:
    ref = _ref(event.ref)
    match event:
        case Result():
            return pb.AttemptEvent(attempt=ref, result=_result(event))
        case Started():
            return pb.AttemptEvent(attempt=ref, started=pb.Started(at=_timestamp(event.at), pid=event.pid))
        case Returned():
            return pb.AttemptEvent(attempt=ref, returned=pb.Returned(reason=event.reason))
        case Frozen(frozen=True):
            return pb.AttemptEvent(attempt=ref, paused=pb.Paused())
        case Frozen():
            return pb.AttemptEvent(attempt=ref, resumed=pb.Resumed())
        case _:
            assert_never(event)


def _result(result: Result) -> pb.Result:
    usage = tasks_pb2.Usage(cpu=_duration(result.cpu_seconds), memory_peak_bytes=result.memory_peak_bytes or 0)
    return pb.Result(
        cause=_CAUSES[result.cause],
        sentence=result.sentence,
        exit_code=result.exit_code,
        signal=result.signal,
        started_at=_timestamp(result.started_at) if result.started_at else None,
        finished_at=_timestamp(result.finished_at),
        duration=_duration(result.duration_seconds),
        usage=usage,
        limits=[
            tasks_pb2.Limit(name=limit.name, value=limit.value, enforcement=_ENFORCEMENTS[limit.enforcement])
            for limit in result.limits
        ],
        output_tail=result.output_tail,
        output_bytes=result.output_bytes,
        output_cut=result.output_cut,
        report_json=result.report.encode(),
        report_fault=result.report_fault,
        tree_dead=result.tree_dead,
        stragglers=result.stragglers,
    )


def _hello(hello: Hello) -> pb.RunnerHello:
    return pb.RunnerHello(
        name=hello.name,
        host=hello.host,
        incarnation=hello.incarnation,
        slots=hello.slots,
        labels=hello.labels,
        version=hello.version,
        held=map(_ref, hello.held),
    )


def _lease(lease: pb.Lease) -> Lease:
    return Lease(
        ref=AttemptRef(lease.task_id, lease.fence),
        attempt=lease.attempt,
        agent=lease.agent,
        project=lease.project,
        script=lease.script,
        interpreter=tuple(lease.interpreter),
        folder=lease.folder,
        params=lease.params_json.decode() or "{}",
        params_as_arguments=lease.params_as_arguments,
        env=tuple(lease.env),
        timeout_seconds=_seconds(lease.timeout),
        idle_timeout_seconds=_seconds(lease.idle_timeout),
        memory_bytes=lease.memory_bytes,
        processes_max=lease.processes_max,
        open_files_max=lease.open_files_max,
        output_bytes_max=lease.output_bytes_max,
        required=tuple(lease.required),
        last_report=lease.last_report_json.decode(),
        alone=lease.alone,
        grace_seconds=_seconds(lease.grace),
    )


def _follow(message: pb.FollowLog) -> Follow:
    return Follow(
        follow_id=message.follow_id,
        ref=_ref_from(message.attempt),
        offset=message.offset,
        follow=message.follow,
        stop=message.stop,
    )


def _order(order: pb.Order) -> Order:
    kind = _ORDERS.get(order.kind)
    if kind is None:
        raise Internal("unknown_order", f"The coordinator gave an order that this runner does not know: {order.kind}.")
    return Order(_ref_from(order.attempt), kind, order.reason)


def _ref(ref: AttemptRef) -> pb.AttemptRef:
    return pb.AttemptRef(task_id=ref.task_id, fence=ref.fence)


def _ref_from(ref: pb.AttemptRef) -> AttemptRef:
    return AttemptRef(ref.task_id, ref.fence)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _duration(seconds: float) -> Duration:
    whole = math.floor(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def _timestamp(moment: datetime) -> Timestamp:
    # FromDatetime takes four times as long, and this is done twice per task.
    elapsed = moment - _EPOCH
    return Timestamp(seconds=elapsed.days * 86_400 + elapsed.seconds, nanos=elapsed.microseconds * 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
