"""Between the wire's messages and our values, for tasks; hot, so that what is the same is converted once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from foundation.errors import FieldFault, Invalid
from protos.coordinator.v1 import tasks_pb2 as pb
from services.coordinator.app.selection import Selection
from services.coordinator.app.tasks import TaskInFull
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.attempt import ServiceNews
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.shown import shown_params
from services.coordinator.domain.task import Decision, Effects, LimitUse, Measured, Task, TaskState
from services.coordinator.ports import TaskFilter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Agents = Mapping[str, AgentSpec]
"""By name: their manifests say which params are not shown."""

_NO_LABELS: dict[str, str] = {}
_STATES = {state: getattr(pb, f"TASK_STATE_{state.name}") for state in TaskState}
_STATES_BACK = {number: state for state, number in _STATES.items()}
EFFECTS = {effects: getattr(pb, f"EFFECTS_{effects.name}") for effects in Effects}
_DECISIONS = {getattr(pb, f"DECISION_{decision.name}"): decision for decision in Decision}
_ENFORCEMENTS = {
    "kernel": pb.ENFORCEMENT_KERNEL,
    "supervised": pb.ENFORCEMENT_SUPERVISED,
    "none": pb.ENFORCEMENT_NONE,
}


# -- from the wire


def requests_from(specs: Iterable[pb.TaskSpec]) -> list[TaskRequest]:
    """A run of specs that say the same becomes one request, many times. Raises Invalid for times that cannot be."""
    requests: list[TaskRequest] = []
    last = b""
    for index, spec in enumerate(specs):
        said = spec.SerializeToString()
        same = requests and said == last
        requests.append(requests[-1] if same else _request_from(spec, index))
        last = said
    return requests


def _request_from(spec: pb.TaskSpec, index: int) -> TaskRequest:
    return TaskRequest(
        agent=spec.agent,
        params=spec.params_json,
        project=spec.project,
        priority=spec.priority if spec.HasField("priority") else None,
        not_before=_moment(spec.not_before, index) if spec.HasField("not_before") else None,
        depends_on=tuple(spec.depends_on),
        ref=spec.ref,
        timeout=_span(spec.timeout, index) if spec.HasField("timeout") else None,
        retries=spec.retries if spec.HasField("retries") else None,
        labels=dict(spec.labels) if spec.labels else _NO_LABELS,
    )


def _moment(wire: Timestamp, index: int) -> datetime:
    try:
        return wire.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise _bad_time(f"tasks[{index}].not_before") from None


def _span(wire: Duration, index: int) -> timedelta:
    try:
        return wire.ToTimedelta()
    except (ValueError, OverflowError):
        raise _bad_time(f"tasks[{index}].timeout") from None


def _bad_time(path: str) -> Invalid:
    said = "This is not a time that can be."
    return Invalid("bad_time", said, fields=(FieldFault(path, said),))


def filter_from(wire: pb.TaskFilter) -> TaskFilter:
    """Raises Invalid for a state that there is not."""
    unknown = [number for number in wire.states if number not in _STATES_BACK]
    if unknown:
        said = f"There is no task state {unknown[0]}."
        raise Invalid("bad_state", said, fields=(FieldFault("filter.states", said),))
    states = frozenset(_STATES_BACK[number] for number in wire.states)
    return TaskFilter(states=states, agent=wire.agent, project=wire.project)


def selection_from(request: pb.CancelTasksRequest | pb.RetryTasksRequest) -> Selection:
    """Ids or a filter; a filter that is there and empty means every task."""
    wanted = filter_from(request.filter) if request.HasField("filter") else None
    return Selection(ids=tuple(request.ids), wanted=wanted)


def decision_from(wire: pb.Decision) -> Decision:
    """Raises Invalid when nothing was decided."""
    decision = _DECISIONS.get(wire)
    if decision is None:
        said = "Decide run_again, failed or succeeded."
        raise Invalid("bad_decision", said, fields=(FieldFault("decision", said),))
    return decision


# -- to the wire


def timestamp(at: datetime) -> Timestamp:
    """A third of the cost of FromDatetime."""
    since = at - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def optional_timestamp(at: datetime | None) -> Timestamp | None:
    return None if at is None else timestamp(at)


def duration(span: timedelta) -> Duration:
    """The wire's form of a length of time that is not negative."""
    return Duration(seconds=span.days * 86_400 + span.seconds, nanos=span.microseconds * 1000)


def submitted_to(tasks: Sequence[Task], position: int | None, agents: Agents) -> pb.SubmitTasksResponse:
    """The answer to a submit: the last of its tasks is the change at `position`; None: they were accepted earlier.

    What was asked for together is often the same but for its id, so each distinct run of tasks is converted once.
    """
    if position is None:
        return pb.SubmitTasksResponse(tasks=tasks_to(tasks, agents), replayed=True)
    answer = pb.SubmitTasksResponse()
    add = answer.tasks.add
    shared: tuple[object, ...] = ()
    for change, task in enumerate(tasks, position - len(tasks) + 1):
        if task[1:] != shared:
            shared, model = task[1:], _accepted(task, agents)
        message = add()
        message.CopyFrom(model)
        message.id = task.id
        message.change = change
    return answer


def _accepted(task: Task, agents: Agents) -> pb.Task:
    """A task as far as it is set when it is accepted, at a position that is not known yet."""
    message = pb.Task(
        id=task.id,
        agent=task.agent,
        project=task.project,
        params_json=shown_params(task.params, agents.get(task.agent)).encode(),
        priority=task.priority,
        state=_STATES[task.state],
        reason=task.reason,
        attempts_max=1 + task.retries,
        fence=task.fence,
        effects=EFFECTS[task.effects],
        created_at=timestamp(task.created_at),
        ready_at=timestamp(task.ready_at),
        submitted_by=task.submitted_by,
    )
    if task.timeout is not None:
        message.timeout.CopyFrom(duration(task.timeout))
    _add_rare(message, task)
    return message


def _add_rare(message: pb.Task, task: Task) -> None:
    """What few tasks have: most of a message's cost is in the fields that are set."""
    if task.not_before is not None:
        message.not_before.CopyFrom(timestamp(task.not_before))
    if task.depends_on:
        message.depends_on.extend(task.depends_on)
    if task.labels:
        message.labels.update(task.labels)
    if task.retry_of:
        message.retry_of = task.retry_of
    if task.parent:
        message.parent = task.parent


def tasks_to(tasks: Iterable[Task], agents: Agents) -> list[pb.Task]:
    """Tasks without their output."""
    return [task_to(task, agents) for task in tasks]


def service_to(news: ServiceNews) -> pb.ServiceStatus:
    """How a service has fared since its attempt began."""
    return pb.ServiceStatus(
        restarts=news.restarts,
        next_start_at=optional_timestamp(news.next_start_at),
        last_end=news.last_end,
        last_lines=news.last_lines,
        health=news.health,
    )


def task_in_full_to(found: TaskInFull, agents: Agents, service: ServiceNews | None = None) -> pb.Task:
    """A task with what its newest attempt left."""
    message = task_to(found.task, agents)
    message.output_tail = found.output
    message.report_fault = found.report_fault
    message.stragglers = found.stragglers
    if service is not None:
        message.service.CopyFrom(service_to(service))
    return message


def task_to(task: Task, agents: Agents) -> pb.Task:
    """One task; a figure that is not known stays absent."""
    message = _accepted(task, agents)
    message.change = task.change
    message.cancel_requested = task.cancel_requested
    message.attempt = task.attempt
    message.runner = task.runner
    if task.started_at is not None:
        message.started_at.CopyFrom(timestamp(task.started_at))
    if task.finished_at is not None:
        message.finished_at.CopyFrom(timestamp(task.finished_at))
    _add_measured(message, task.measured)
    return message


def _add_measured(message: pb.Task, measured: Measured) -> None:
    if measured.exit_code is not None:
        message.exit_code = measured.exit_code
    if measured.signal is not None:
        message.signal = measured.signal
    if measured.duration is not None:
        message.duration.CopyFrom(duration(measured.duration))
    if measured.cpu is not None:
        message.usage.cpu.CopyFrom(duration(measured.cpu))
    if measured.memory_peak_bytes is not None:
        message.usage.memory_peak_bytes = measured.memory_peak_bytes
    message.limits.extend(_limit(limit) for limit in measured.limits)
    message.output_bytes = measured.output_bytes
    message.output_cut = measured.output_cut


def _limit(limit: LimitUse) -> pb.Limit:
    enforcement = _ENFORCEMENTS.get(limit.enforcement, pb.ENFORCEMENT_UNSPECIFIED)
    return pb.Limit(name=limit.name, value=limit.value, enforcement=enforcement, detail=limit.detail)
