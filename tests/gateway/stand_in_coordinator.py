"""A coordinator that keeps a few tasks in memory, behind the server that every service has."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc
from google.protobuf.descriptor import FileDescriptor

from foundation.auth import Caller, current_caller
from foundation.clock import SystemClock
from foundation.errors import Conflict, Exhausted, FieldFault, Invalid, NotFound, Unauthenticated
from foundation.ids import SequentialIds, random_bytes
from foundation.log import get_logger
from foundation.rpc.server import RpcServer
from foundation.tokens import Token, mint
from protos.coordinator.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
    reports_pb2,
    reports_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
)
from protos.safety.v1 import breakers_pb2, mode_pb2, spend_pb2
from protos.scopes import scopes_of
from tests.gateway import stand_in_fleet, stand_in_merges, stand_in_schedules

Context = grpc.aio.ServicerContext[object, object]

AGENTS = ("hello", "build", "full", "slow", "broken")
"""`full` finds the queue full, `slow` never answers, `broken` makes the service fail."""
OUTPUT = "grün\nzwei\n".encode()
_ENDED = {tasks_pb2.TASK_STATE_SUCCEEDED, tasks_pb2.TASK_STATE_CANCELLED, tasks_pb2.TASK_STATE_FAILED}


@dataclass(kw_only=True)
class World:
    """What the two services know; a test may look into it and change it."""

    user: Token = field(default_factory=lambda: mint(random_bytes))
    reader: Token = field(default_factory=lambda: mint(random_bytes))
    attempt: Token = field(default_factory=lambda: mint(random_bytes))
    ids: SequentialIds = field(default_factory=SequentialIds)
    tasks: dict[str, tasks_pb2.Task] = field(default_factory=dict)
    keys: dict[str, tuple[bytes, list[str]]] = field(default_factory=dict)
    reports: list[reports_pb2.Report] = field(default_factory=list)
    paused: bool = False
    drained: dict[str, str] = field(default_factory=dict)
    merges: stand_in_merges.Checks = field(default_factory=stand_in_merges.Checks)
    mode: mode_pb2.Mode = mode_pb2.MODE_NORMAL
    audit_broken: int | None = None
    budgets_reset: dict[str, str] = field(default_factory=dict)
    reservations: dict[str, spend_pb2.Reservation] = field(default_factory=dict)
    breakers: dict[str, breakers_pb2.Breaker] = field(default_factory=dict)
    cleared: dict[str, int] = field(default_factory=dict)
    last_caller: str = ""
    log_goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: a followed log is ended."""
    slow_call: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once somebody has asked for the agent that never answers."""
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    """Told of every accepted task."""
    log_offsets: list[int] = field(default_factory=list)
    """The offsets from which logs were read."""

    async def verify(self, token: str) -> Caller:
        """The user may do everything but what is an attempt's, the reader may read."""
        scopes = {
            self.user.text: frozenset({"read", "submit", "cancel", "operate", "rotate", "admin", "merge"}),
            self.reader.text: frozenset({"read"}),
            self.attempt.text: frozenset({"spend", "attempt"}),
        }
        if token not in scopes:
            raise Unauthenticated("unknown_token", "That token is not known here.")
        return Caller(token_id=token[4:16], name="user", scopes=scopes[token])

    def task(self, task_id: str) -> tasks_pb2.Task:
        """One task. Raises NotFound."""
        self.last_caller = current_caller().name
        if task_id not in self.tasks:
            raise NotFound("no_such_task", f"There is no task “{task_id}”.")
        return self.tasks[task_id]

    def add(self, spec: tasks_pb2.TaskSpec) -> tasks_pb2.Task:
        """Accepts a task; what it names must exist."""
        if spec.agent not in AGENTS:
            raise NotFound("unknown_agent", f"There is no agent “{spec.agent}”. Did you mean “hello”?")
        if spec.agent == "full":
            raise Exhausted("queue_full", "The queue is full.", retry_after=timedelta(seconds=7))
        if spec.agent == "broken":
            raise RuntimeError("a fault of the service")
        task = tasks_pb2.Task(
            id=self.ids.new(),
            agent=spec.agent,
            project=spec.project,
            params_json=spec.params_json,
            priority=spec.priority if spec.HasField("priority") else 5,
            state=tasks_pb2.TASK_STATE_QUEUED,
            attempts_max=1 + spec.retries,
            effects=tasks_pb2.EFFECTS_ONCE,
            labels=spec.labels,
            limits=[tasks_pb2.Limit(name="timeout", value=300, enforcement=tasks_pb2.ENFORCEMENT_SUPERVISED)],
        )
        if spec.HasField("not_before"):
            task.not_before.CopyFrom(spec.not_before)
        task.created_at.FromDatetime(SystemClock().now())
        self.tasks[task.id] = task
        return task

    def counts(self) -> dict[str, int]:
        """Tasks per state."""
        names = (tasks_pb2.TaskState.Name(task.state) for task in self.tasks.values())
        return dict(Counter(name.removeprefix("TASK_STATE_").lower() for name in names))


class Tasks(tasks_pb2_grpc.TaskServiceServicer):
    """Tasks that wait for ever."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def SubmitTasks(
        self, request: tasks_pb2.SubmitTasksRequest, context: Context
    ) -> tasks_pb2.SubmitTasksResponse:
        """All or none."""
        if any(spec.agent == "slow" for spec in request.tasks):
            self.world.slow_call.set()
            await asyncio.Event().wait()
        refs = {f"#{spec.ref}" for spec in request.tasks if spec.ref}
        faults = [
            FieldFault(f"tasks[{number}].depends_on", f"There is no “{parent}” in this call.")
            for number, spec in enumerate(request.tasks)
            for parent in spec.depends_on
            if parent.startswith("#") and parent not in refs
        ]
        if faults:
            raise Invalid("bad_tasks", "A task depends on what is not there.", fields=faults)
        payload = b"".join(spec.SerializeToString(deterministic=True) for spec in request.tasks)
        known = self.world.keys.get(request.idempotency_key)
        if request.idempotency_key and known is not None:
            if known[0] != payload:
                raise Conflict("key_reused", "That idempotency key belongs to other tasks.")
            return tasks_pb2.SubmitTasksResponse(tasks=[self.world.tasks[one] for one in known[1]], replayed=True)
        before = dict(self.world.tasks)
        try:
            tasks = [self.world.add(spec) for spec in request.tasks]
        except Exception:
            self.world.tasks = before
            raise
        if request.idempotency_key:
            self.world.keys[request.idempotency_key] = (payload, [task.id for task in tasks])
        async with self.world.grown:
            self.world.grown.notify_all()
        return tasks_pb2.SubmitTasksResponse(tasks=tasks)

    async def GetTask(self, request: tasks_pb2.GetTaskRequest, context: Context) -> tasks_pb2.GetTaskResponse:
        """One task."""
        return tasks_pb2.GetTaskResponse(task=self.world.task(request.id))

    async def ListTasks(self, request: tasks_pb2.ListTasksRequest, context: Context) -> tasks_pb2.ListTasksResponse:
        """Newest first; the cursor is a number."""
        if request.page_token and not request.page_token.isdecimal():
            raise Invalid("bad_cursor", "That cursor is not one of ours.")
        chosen = [
            task
            for task in reversed(self.world.tasks.values())
            if (not request.filter.states or task.state in request.filter.states)
            and request.filter.agent in ("", task.agent)
            and request.filter.project in ("", task.project)
        ]
        begin = int(request.page_token[:9] or 0)
        size = request.page_size or 100
        more = str(begin + size) if len(chosen) > begin + size else ""
        return tasks_pb2.ListTasksResponse(
            tasks=chosen[begin : begin + size], next_page_token=more, counts=self.world.counts()
        )

    async def CancelTasks(
        self, request: tasks_pb2.CancelTasksRequest, context: Context
    ) -> tasks_pb2.CancelTasksResponse:
        """At once, for these tasks never run."""
        task = self.world.task(request.ids[0])
        if task.state in _ENDED:
            return tasks_pb2.CancelTasksResponse(already_ended=[task.id])
        task.state, task.reason = tasks_pb2.TASK_STATE_CANCELLED, request.reason
        return tasks_pb2.CancelTasksResponse(tasks=[task], cancelled=1)

    async def RetryTasks(self, request: tasks_pb2.RetryTasksRequest, context: Context) -> tasks_pb2.RetryTasksResponse:
        """Ended ones only."""
        old = self.world.task(request.ids[0])
        if old.state not in _ENDED:
            raise Conflict("not_ended", "The task has not ended.")
        new = self.world.add(tasks_pb2.TaskSpec(agent=old.agent, params_json=old.params_json))
        new.retry_of = old.id
        return tasks_pb2.RetryTasksResponse(tasks=[new], retried=1)

    async def DecideTask(self, request: tasks_pb2.DecideTaskRequest, context: Context) -> tasks_pb2.DecideTaskResponse:
        """Only for what waits for one."""
        task = self.world.task(request.id)
        if task.state != tasks_pb2.TASK_STATE_NEEDS_DECISION:
            raise Conflict("no_decision_needed", "The task does not wait for a decision.")
        decided = {tasks_pb2.DECISION_SUCCEEDED: tasks_pb2.TASK_STATE_SUCCEEDED}
        task.state = decided.get(request.decision, tasks_pb2.TASK_STATE_QUEUED)
        return tasks_pb2.DecideTaskResponse(task=task)

    async def ExplainTask(
        self, request: tasks_pb2.ExplainTaskRequest, context: Context
    ) -> tasks_pb2.ExplainTaskResponse:
        """Always the same reason."""
        return tasks_pb2.ExplainTaskResponse(
            code="no_runner", sentence="No runner is attached.", remedy="quantum up", task=self.world.task(request.id)
        )

    async def ReadLog(
        self, request: tasks_pb2.ReadLogRequest, context: Context
    ) -> AsyncIterator[tasks_pb2.ReadLogResponse]:
        """Three pieces, the first cut within a character; a followed log ends when the world says so."""
        task = self.world.task(request.id)
        self.world.log_offsets.append(request.offset)
        for begin, end in ((0, 3), (3, 6), (6, len(OUTPUT))):
            if end > request.offset:
                yield tasks_pb2.ReadLogResponse(data=OUTPUT[max(begin, request.offset) : end], offset=end)
        if request.follow:
            await self.world.log_goes_on.wait()
            task.state, task.exit_code = tasks_pb2.TASK_STATE_SUCCEEDED, 0
            yield tasks_pb2.ReadLogResponse(offset=max(request.offset, len(OUTPUT)), ended=task)

    async def WatchTasks(
        self, request: tasks_pb2.WatchTasksRequest, context: Context
    ) -> AsyncIterator[tasks_pb2.WatchTasksResponse]:
        """Each task is one change, at its place in the order in which they were accepted."""
        position = request.after
        if not position:
            position = len(self.world.tasks)
            yield tasks_pb2.WatchTasksResponse(position=position)
        while True:
            async with self.world.grown:
                while len(self.world.tasks) <= position:
                    await self.world.grown.wait()
            tasks = list(self.world.tasks.values())[position:]
            position += len(tasks)
            yield tasks_pb2.WatchTasksResponse(tasks=tasks, position=position)


class Queue(queue_pb2_grpc.QueueServiceServicer):
    """The queue's handles."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def GetQueueStats(
        self, request: queue_pb2.GetQueueStatsRequest, context: Context
    ) -> queue_pb2.GetQueueStatsResponse:
        """One runner; nothing has started yet."""
        return queue_pb2.GetQueueStatsResponse(
            counts=self.world.counts(),
            open=sum(task.state not in _ENDED for task in self.world.tasks.values()),
            open_max=1_000_000,
            paused=self.world.paused,
            runners=[stand_in_fleet.runner(self.world.drained)],
            store_bytes=4096,
            disk_free_bytes=10**9,
        )

    async def PauseQueue(self, request: queue_pb2.PauseQueueRequest, context: Context) -> queue_pb2.PauseQueueResponse:
        """Pause."""
        changed, self.world.paused = not self.world.paused, True
        return queue_pb2.PauseQueueResponse(changed=changed)

    async def ResumeQueue(
        self, request: queue_pb2.ResumeQueueRequest, context: Context
    ) -> queue_pb2.ResumeQueueResponse:
        """Resume."""
        changed, self.world.paused = self.world.paused, False
        return queue_pb2.ResumeQueueResponse(changed=changed)

    async def ClearQueue(self, request: queue_pb2.ClearQueueRequest, context: Context) -> queue_pb2.ClearQueueResponse:
        """Count, and cancel unless dry."""
        waiting = [
            task
            for task in self.world.tasks.values()
            if task.state == tasks_pb2.TASK_STATE_QUEUED and request.agent in ("", task.agent)
        ]
        if request.dry_run or not waiting:
            return queue_pb2.ClearQueueResponse(cleared=len(waiting))
        for task in waiting:
            task.state = tasks_pb2.TASK_STATE_CANCELLED
        name = self.world.ids.new()
        self.world.cleared[name] = len(waiting)
        return queue_pb2.ClearQueueResponse(cleared=len(waiting), clearing_id=name)

    async def UndoClearQueue(
        self, request: queue_pb2.UndoClearQueueRequest, context: Context
    ) -> queue_pb2.UndoClearQueueResponse:
        """Once."""
        if request.clearing_id not in self.world.cleared:
            raise NotFound("no_such_clearing", "There is no such clearing.")
        restored, self.world.cleared[request.clearing_id] = self.world.cleared[request.clearing_id], 0
        return queue_pb2.UndoClearQueueResponse(restored=restored)


class Agents(agents_pb2_grpc.AgentServiceServicer):
    """The catalogue."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def ListAgents(
        self, request: agents_pb2.ListAgentsRequest, context: Context
    ) -> agents_pb2.ListAgentsResponse:
        """Agents that have never run."""
        self.world.last_caller = current_caller().name
        return agents_pb2.ListAgentsResponse(
            agents=[
                agents_pb2.Agent(name=name, kind="task", state=agents_pb2.AGENT_STATE_IDLE, source=f"agents/{name}.sh")
                for name in AGENTS
            ]
        )

    async def GetAgent(self, request: agents_pb2.GetAgentRequest, context: Context) -> agents_pb2.GetAgentResponse:
        """One."""
        if request.name not in AGENTS:
            raise NotFound("unknown_agent", f"There is no agent “{request.name}”.")
        return agents_pb2.GetAgentResponse(agent=agents_pb2.Agent(name=request.name, state=agents_pb2.AGENT_STATE_IDLE))

    async def ListProjects(
        self, request: agents_pb2.ListProjectsRequest, context: Context
    ) -> agents_pb2.ListProjectsResponse:
        """None."""
        return agents_pb2.ListProjectsResponse()


class Reports(reports_pb2_grpc.ReportServiceServicer):
    """What the test put there."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def ListReports(
        self, request: reports_pb2.ListReportsRequest, context: Context
    ) -> reports_pb2.ListReportsResponse:
        """By type and project."""
        return reports_pb2.ListReportsResponse(
            reports=[
                report
                for report in self.world.reports
                if request.type in ("", report.type) and request.project in ("", report.project)
            ]
        )


class Verifier:
    """Asks the world."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def verify(self, token: str) -> Caller:
        """Who it is."""
        return await self.world.verify(token)


async def start_coordinator(world: World, socket: Path) -> RpcServer:
    """The coordinator, serving."""
    contracts = (tasks_pb2, queue_pb2, agents_pb2, reports_pb2, stand_in_fleet.CONTRACT, stand_in_merges.CONTRACT)
    files = [file.DESCRIPTOR for file in (*contracts, stand_in_schedules.CONTRACT)]
    server = server_of("coordinator", world, files)
    package = "quantum.coordinator.v1"
    agents = Agents(world)  # type: ignore[abstract]  # a stand-in has what is asked of it
    server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, Tasks(world), f"{package}.TaskService")
    server.add(queue_pb2_grpc.add_QueueServiceServicer_to_server, Queue(world), f"{package}.QueueService")
    server.add(agents_pb2_grpc.add_AgentServiceServicer_to_server, agents, f"{package}.AgentService")
    server.add(reports_pb2_grpc.add_ReportServiceServicer_to_server, Reports(world), f"{package}.ReportService")
    stand_in_fleet.add_to(server, world.drained)
    stand_in_merges.add_to(server, world.merges)
    stand_in_schedules.add_to(server)
    await server.start(socket)
    await server.set_serving(True)
    return server


def server_of(name: str, world: World, files: list[FileDescriptor]) -> RpcServer:
    """A service's own server, which asks the world who somebody is."""
    clock, logger = SystemClock(), get_logger(name)
    return RpcServer(name, verifier=Verifier(world), scopes=scopes_of(files), logger=logger, clock=clock)


def coverage_report(project: str) -> reports_pb2.Report:
    """A report that knows Python and not Swift."""
    data = json.dumps({"python": {"line": 0.93, "branch": 0.88}}).encode()
    return reports_pb2.Report(type="coverage", project=project, summary="93 %", data_json=data, task_id="t", agent="c")
