"""Between the values of the runner's stream and its wire messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import assert_never

from google.protobuf.duration_pb2 import Duration

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
    HostState,
    Lease,
    Leases,
    LeaseTerms,
    LimitUse,
    LogChunk,
    Order,
    OrderKind,
    Orders,
    Result,
    ResultAcks,
    Returned,
    Sandbox,
    ServiceNews,
    ServiceTerms,
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
        case Credit(leases_max, no_checks):
            yield pb.AttachRequest(credit=pb.Credit(leases_max=leases_max, no_checks=no_checks))
        case Heartbeat(sequence, held, draining, waits, stalled):
            beat = pb.Heartbeat(sequence=sequence, held=map(_ref, held), draining=draining, stalled=stalled)
            beat.waits.extend(pb.Wait(attempt=_ref(ref), reason=reason) for ref, reason in waits.items())
            yield pb.AttachRequest(heartbeat=beat)
        case Events(events):
            for batch in _batches(events):
                yield pb.AttachRequest(events=batch)
        case HostState(held_reason, memory_available_bytes, cpu_share, disk_short):
            host = pb.HostState(
                held_reason=held_reason,
                memory_available_bytes=memory_available_bytes,
                cpu_share=cpu_share,
                disk_short=disk_short,
            )
            yield pb.AttachRequest(host=host)
        case LogChunk(follow_id, data, offset, end):
            yield pb.AttachRequest(log=pb.LogChunk(follow_id=follow_id, data=data, offset=offset, end=end))
        case _:
            assert_never(message)


def value_of(response: pb.AttachResponse) -> FromCoordinator:
    """The value of a wire message; raises Internal for one that this runner does not know."""
    match response.WhichOneof("message"):
        case "leases":
            return Leases(_leases(response.leases))
        case "result_acks":
            acks = response.result_acks
            return ResultAcks([_ref_from(ref) for ref in acks.accepted], [_ref_from(ref) for ref in acks.refused])
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


def _batches(events: Sequence[AttemptEvent]) -> Iterator[pb.AttemptEvents]:
    batch = _Batch()
    for event in events:
        if not batch.add(event):
            yield batch.message
            batch = _Batch()
            batch.add(event)
    if events:
        yield batch.message


class _Batch:
    """One message of events, with the limits that they share."""

    def __init__(self) -> None:
        self.message = pb.AttemptEvents()
        self._size = 0
        self._limits: dict[tuple[LimitUse, ...], int] = {(): 0}

    def add(self, event: AttemptEvent) -> bool:
        """Take one in; false when the message would become too large, and is not empty."""
        wire = self._event(event)
        self._size += wire.ByteSize()
        if self._size > BATCH_BYTES and self.message.events:
            return False
        self.message.events.append(wire)
        return True

    def _event(self, event: AttemptEvent) -> pb.AttemptEvent:
        ref = _ref(event.ref)
        match event:
            case Result():
                return pb.AttemptEvent(attempt=ref, result=_result(event, self._position(event.limits)))
            case Started():
                return pb.AttemptEvent(attempt=ref, started=pb.Started(at_us=event.at_us, pid=event.pid))
            case Returned():
                return pb.AttemptEvent(attempt=ref, returned=pb.Returned(reason=event.reason))
            case Frozen(frozen=True):
                return pb.AttemptEvent(attempt=ref, paused=pb.Paused())
            case Frozen():
                return pb.AttemptEvent(attempt=ref, resumed=pb.Resumed())
            case ServiceNews():
                return pb.AttemptEvent(attempt=ref, service=_service_news(event))
            case _:
                assert_never(event)

    def _position(self, limits: tuple[LimitUse, ...]) -> int:
        position = self._limits.get(limits)
        if position is None:
            self.message.limits.append(_limits(limits))
            position = self._limits[limits] = len(self._limits)
        return position


@lru_cache(maxsize=256)
def _limits(limits: tuple[LimitUse, ...]) -> pb.Limits:
    return pb.Limits(
        limits=[
            tasks_pb2.Limit(name=name, value=value, enforcement=_ENFORCEMENTS[enforcement], detail=detail)
            for name, value, enforcement, detail in limits
        ]
    )


def _result(result: Result, limits: int) -> pb.Result:
    # What is empty is left out: each field costs, and there is one of these per task.
    wire = pb.Result(
        cause=_CAUSES[result.cause],
        exit_code=result.exit_code,
        signal=result.signal,
        started_at_us=result.started_us,
        finished_at_us=result.finished_us,
        duration_us=result.duration_us,
        cpu_us=result.cpu_us,
        memory_peak_bytes=result.memory_peak_bytes,
        limits=limits,
        output_tail=result.output_tail,
        output_bytes=result.output_bytes,
        tree_dead=result.tree_dead,
        epoch=result.epoch,
    )
    if result.sentence:
        wire.sentence = result.sentence
    if result.output_cut:
        wire.output_cut = True
    if result.report:
        wire.report_json = result.report.encode()
    if result.report_fault:
        wire.report_fault = result.report_fault
    if result.stragglers:
        wire.stragglers = result.stragglers
    return wire


def _service_news(news: ServiceNews) -> pb.ServiceNews:
    return pb.ServiceNews(
        restarts=news.restarts,
        next_start_at_us=news.next_start_us,
        last_end=news.last_end,
        last_lines=news.last_lines,
        escalated=news.escalated,
        health=news.health,
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
        services_max=hello.services_max,
        memory_bytes=hello.memory_bytes,
        enforcement=hello.enforcement,
        checks_max=hello.checks_max,
        returning=hello.returning,
    )


def _leases(message: pb.Leases) -> list[Lease]:
    terms = [_terms(wire) for wire in message.terms]
    return [
        Lease(
            AttemptRef(lease.task_id, lease.fence),
            lease.attempt,
            terms[lease.terms],
            lease.params_json.decode() or "{}",
            lease.last_report_json.decode(),
            lease.alone,
            lease.credential,
            lease.epoch,
        )
        for lease in message.leases
    ]


def _terms(terms: pb.LeaseTerms) -> LeaseTerms:
    return LeaseTerms(
        agent=terms.agent,
        project=terms.project,
        script=terms.script,
        folder=terms.folder,
        interpreter=tuple(terms.interpreter),
        params_as_arguments=terms.params_as_arguments,
        env=tuple(terms.env),
        timeout_seconds=_seconds(terms.timeout),
        idle_timeout_seconds=_seconds(terms.idle_timeout),
        memory_bytes=terms.memory_bytes,
        processes_max=terms.processes_max,
        open_files_max=terms.open_files_max,
        output_bytes_max=terms.output_bytes_max,
        required=tuple(terms.required),
        grace_seconds=_seconds(terms.grace),
        cpu_cores=terms.cpu_cores,
        cpu_seconds=_seconds(terms.cpu_time),
        work_files_max=terms.work_files_max,
        work_bytes_max=terms.work_bytes_max,
        run_as=terms.run_as,
        secrets=tuple(terms.secrets),
        sandbox=_sandbox(terms.sandbox) if terms.HasField("sandbox") else None,
        service=_service(terms.service) if terms.HasField("service") else None,
        script_sha256=terms.script_sha256,
        builtin=terms.builtin,
        check=terms.check,
        secret_params=tuple(terms.secret_params),
    )


def _sandbox(wire: pb.Sandbox) -> Sandbox:
    return Sandbox(tuple(wire.write), tuple(wire.read), tuple(wire.hosts), wire.network)


def _service(wire: pb.Service) -> ServiceTerms:
    return ServiceTerms(
        backoff_seconds=_seconds(wire.backoff),
        backoff_seconds_max=_seconds(wire.backoff_max),
        escalate=wire.escalate,
        hold=wire.hold,
        window_seconds=_seconds(wire.window),
        health_seconds=_seconds(wire.health),
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
