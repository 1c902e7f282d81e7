"""The coordinator's client: tasks, the queue, agents and reports as plain asynchronous calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta

import grpc.aio

from clients.backups import BackupClient
from clients.calling import DEADLINE, Client, ask, going_on, listen, repeatable
from clients.coordinator_convert import (
    TasksLater,
    agent_from,
    decision_to,
    filter_to,
    page_from,
    report_from,
    runner_from,
    specs_to,
    stats_from,
    task_from,
    tasks_from,
)
from clients.coordinator_values import (
    EVERYTHING,
    AgentView,
    CancelResult,
    Clearing,
    Decision,
    Explanation,
    LogChunk,
    ProjectList,
    ProjectView,
    QueueStats,
    ReportView,
    RetryResult,
    RunnerDrain,
    RunnerView,
    Submitted,
    TaskChanges,
    TaskFilter,
    TaskPage,
    TaskSpec,
    TaskView,
)
from clients.merges import MergeClient
from clients.resuming import PATIENCE, Told, resuming
from clients.schedules import ScheduleClient
from clients.wire_values import moment_in
from protos.coordinator.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
    merges_pb2,
    queue_pb2,
    queue_pb2_grpc,
    reports_pb2,
    reports_pb2_grpc,
    schedules_pb2,
    tasks_pb2,
    tasks_pb2_grpc,
)

_CONTRACTS = (tasks_pb2, queue_pb2, agents_pb2, reports_pb2, fleet_pb2, merges_pb2, schedules_pb2)


class CoordinatorClient(Client):
    """Speaks to a coordinator over one channel; to be made and used inside one running loop.

    Every method raises QuantumError alone: Unavailable when the coordinator is out of reach, TimedOut after
    `deadline`, Unauthenticated and Denied for the token, and what `protos/coordinator/v1` names.
    """

    sent_again = repeatable(file.DESCRIPTOR for file in _CONTRACTS)

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel is closed by `close`."""
        super().__init__(channel)
        self.backups = BackupClient(channel)
        self.merges = MergeClient(channel)
        self.schedules = ScheduleClient(channel)
        self._tasks = tasks_pb2_grpc.TaskServiceStub(channel)
        self._queue = queue_pb2_grpc.QueueServiceStub(channel)
        self._agents = agents_pb2_grpc.AgentServiceStub(channel)
        self._reports = reports_pb2_grpc.ReportServiceStub(channel)
        self._fleet = fleet_pb2_grpc.FleetServiceStub(channel)

    # Tasks

    async def submit(
        self, specs: Sequence[TaskSpec], *, idempotency_key: str = "", deadline: timedelta = DEADLINE
    ) -> Submitted:
        """Has 1 to 10,000 tasks accepted, all of them or none; durable when it returns.

        Raises Invalid (fields like `tasks[3].params`), NotFound for an unknown agent or project, Conflict for a
        known key with another payload, Exhausted when the queue is full.
        """
        request = tasks_pb2.SubmitTasksRequest(tasks=specs_to(specs), idempotency_key=idempotency_key)
        answer = await ask(self._tasks.SubmitTasks, request, deadline)
        return Submitted(tasks=TasksLater(answer.tasks), replayed=answer.replayed)

    async def get_task(self, task_id: str, *, deadline: timedelta = DEADLINE) -> TaskView:
        """One task, with the tail of its output. Raises NotFound."""
        answer = await ask(self._tasks.GetTask, tasks_pb2.GetTaskRequest(id=task_id), deadline)
        return task_from(answer.task)

    async def list_tasks(
        self,
        chosen: TaskFilter = EVERYTHING,
        *,
        limit: int = 0,
        cursor: str = "",
        deadline: timedelta = DEADLINE,
    ) -> TaskPage:
        """A page of tasks, newest first, without their output; `limit` 1 to 1,000, 0 means 100."""
        request = tasks_pb2.ListTasksRequest(filter=filter_to(chosen), page_size=limit, page_token=cursor)
        return page_from(await ask(self._tasks.ListTasks, request, deadline))

    async def cancel(
        self,
        ids: Sequence[str] = (),
        *,
        chosen: TaskFilter | None = None,
        reason: str = "",
        deadline: timedelta = DEADLINE,
    ) -> CancelResult:
        """Asks that tasks end, by their ids or by a filter (not both)."""
        request = tasks_pb2.CancelTasksRequest(
            ids=ids, filter=None if chosen is None else filter_to(chosen), reason=reason
        )
        with going_on():
            answer = await ask(self._tasks.CancelTasks, request, deadline)
        return CancelResult(
            tasks=tasks_from(answer.tasks),
            already_ended=tuple(answer.already_ended),
            cancelled=answer.cancelled,
        )

    async def retry(
        self,
        ids: Sequence[str] = (),
        *,
        chosen: TaskFilter | None = None,
        idempotency_key: str = "",
        deadline: timedelta = DEADLINE,
    ) -> RetryResult:
        """Submits new tasks with the payload of ended ones, by their ids or by a filter (not both)."""
        request = tasks_pb2.RetryTasksRequest(
            ids=ids, filter=None if chosen is None else filter_to(chosen), idempotency_key=idempotency_key
        )
        answer = await ask(self._tasks.RetryTasks, request, deadline)
        return RetryResult(tasks=tasks_from(answer.tasks), retried=answer.retried)

    async def decide(
        self, task_id: str, decision: Decision, *, note: str = "", deadline: timedelta = DEADLINE
    ) -> TaskView:
        """Records a person's decision. Raises NotFound; Conflict when the task does not wait for one."""
        request = tasks_pb2.DecideTaskRequest(id=task_id, decision=decision_to(decision), note=note)
        answer = await ask(self._tasks.DecideTask, request, deadline)
        return task_from(answer.task)

    async def explain(self, task_id: str, *, deadline: timedelta = DEADLINE) -> Explanation:
        """Why a task is where it is. Raises NotFound."""
        answer = await ask(self._tasks.ExplainTask, tasks_pb2.ExplainTaskRequest(id=task_id), deadline)
        return Explanation(
            code=answer.code,
            sentence=answer.sentence,
            until=moment_in(answer, "until"),
            remedy=answer.remedy,
            task=task_from(answer.task),
        )

    async def watch(
        self, *, after: int = 0, ids: Sequence[str] = (), patience: timedelta = PATIENCE
    ) -> AsyncGenerator[TaskChanges, None]:
        """Every change of tasks after a position, for ever; over breaks without a gap.

        `after` 0: from now on, after a first message without tasks that names the present position. Raises
        Unavailable when nothing could be had for `patience`.
        """
        position = after

        def from_here() -> grpc.aio.UnaryStreamCall[tasks_pb2.WatchTasksRequest, tasks_pb2.WatchTasksResponse]:
            return self._tasks.WatchTasks(tasks_pb2.WatchTasksRequest(after=position, ids=ids))

        async with aclosing(resuming(from_here, patience=patience)) as messages:
            async for message in messages:
                position = message.position
                yield TaskChanges(tasks=tasks_from(message.tasks), position=position)

    async def read_log(
        self,
        task_id: str,
        *,
        offset: int = 0,
        follow: bool = False,
        patience: timedelta = PATIENCE,
        told: Told | None = None,
    ) -> AsyncGenerator[LogChunk, None]:
        """A task's output from a byte offset; with `follow`, over breaks, until the chunk with the ended task.

        Raises NotFound; Unavailable when nothing could be had for `patience` (without `follow`: at the first
        break). `told` hears of each break, and of its end.
        """
        position, attempt = offset, 0

        def from_here() -> grpc.aio.UnaryStreamCall[tasks_pb2.ReadLogRequest, tasks_pb2.ReadLogResponse]:
            request = tasks_pb2.ReadLogRequest(id=task_id, offset=position, follow=follow, attempt=attempt)
            return self._tasks.ReadLog(request)

        stream = resuming(from_here, patience=patience, told=told) if follow else listen(from_here())
        async with aclosing(stream) as messages:
            async for message in messages:
                position, attempt = message.offset, message.attempt
                ended = task_from(message.ended) if message.HasField("ended") else None
                yield LogChunk(data=message.data, offset=position, ended=ended)
                if ended is not None:
                    return

    # The queue

    async def queue_stats(self, *, deadline: timedelta = DEADLINE) -> QueueStats:
        """The figures of the queue, its runners and what is refused for now."""
        return stats_from(await ask(self._queue.GetQueueStats, queue_pb2.GetQueueStatsRequest(), deadline))

    async def pause_queue(self, *, reason: str = "", deadline: timedelta = DEADLINE) -> bool:
        """Lets nothing new start; whether that changed anything."""
        answer = await ask(self._queue.PauseQueue, queue_pb2.PauseQueueRequest(reason=reason), deadline)
        return answer.changed

    async def resume_queue(self, *, deadline: timedelta = DEADLINE) -> bool:
        """Undoes `pause_queue`; whether that changed anything."""
        answer = await ask(self._queue.ResumeQueue, queue_pb2.ResumeQueueRequest(), deadline)
        return answer.changed

    async def clear_queue(
        self, *, agent: str = "", reason: str = "", dry_run: bool = False, deadline: timedelta = DEADLINE
    ) -> Clearing:
        """Cancels every task that waits, of one agent or of all; with `dry_run` only counts them."""
        request = queue_pb2.ClearQueueRequest(agent=agent, reason=reason, dry_run=dry_run)
        with going_on():
            answer = await ask(self._queue.ClearQueue, request, deadline)
        return Clearing(cleared=answer.cleared, clearing_id=answer.clearing_id)

    async def undo_clear(self, clearing_id: str, *, deadline: timedelta = DEADLINE) -> int:
        """Submits the tasks of a clearing again; how many. Raises NotFound."""
        request = queue_pb2.UndoClearQueueRequest(clearing_id=clearing_id)
        with going_on():
            answer = await ask(self._queue.UndoClearQueue, request, deadline)
        return answer.restored

    # Runners

    async def list_runners(self, *, deadline: timedelta = DEADLINE) -> tuple[RunnerView, ...]:
        """Those that are attached, and those that are drained and away, by name."""
        answer = await ask(self._fleet.ListRunners, fleet_pb2.ListRunnersRequest(), deadline)
        return tuple(runner_from(runner) for runner in answer.runners)

    async def drain_runner(self, name: str, *, reason: str = "", deadline: timedelta = DEADLINE) -> RunnerDrain:
        """Lets nothing new start on a runner; kept over restarts. Raises Invalid for what is no name of a runner."""
        answer = await ask(self._fleet.DrainRunner, fleet_pb2.DrainRunnerRequest(name=name, reason=reason), deadline)
        return RunnerDrain(changed=answer.changed, running=answer.running)

    async def resume_runner(self, name: str, *, deadline: timedelta = DEADLINE) -> bool:
        """Undoes `drain_runner`; whether that changed anything."""
        answer = await ask(self._fleet.ResumeRunner, fleet_pb2.ResumeRunnerRequest(name=name), deadline)
        return answer.changed

    # Agents and projects

    async def list_agents(self, *, deadline: timedelta = DEADLINE) -> tuple[AgentView, ...]:
        """Every agent of the catalogue, those with faults too."""
        answer = await ask(self._agents.ListAgents, agents_pb2.ListAgentsRequest(), deadline)
        return tuple(agent_from(agent) for agent in answer.agents)

    async def get_agent(self, name: str, *, deadline: timedelta = DEADLINE) -> AgentView:
        """One agent. Raises NotFound with the nearest name."""
        answer = await ask(self._agents.GetAgent, agents_pb2.GetAgentRequest(name=name), deadline)
        return agent_from(answer.agent)

    async def reload_agents(self, *, deadline: timedelta = DEADLINE) -> tuple[AgentView, ...]:
        """Has the manifests read again now, and returns every agent."""
        answer = await ask(self._agents.ReloadAgents, agents_pb2.ReloadAgentsRequest(), deadline)
        return tuple(agent_from(agent) for agent in answer.agents)

    async def list_projects(self, *, deadline: timedelta = DEADLINE) -> ProjectList:
        """The projects, and the faults of the file that names them."""
        answer = await ask(self._agents.ListProjects, agents_pb2.ListProjectsRequest(), deadline)
        projects = tuple(ProjectView(name=project.name, folder=project.folder) for project in answer.projects)
        return ProjectList(projects=projects, faults=tuple(answer.faults))

    # Reports

    async def list_reports(
        self, *, type: str = "", project: str = "", deadline: timedelta = DEADLINE
    ) -> tuple[ReportView, ...]:
        """The latest report per project and type, newest first; empty arguments do not narrow."""
        request = reports_pb2.ListReportsRequest(type=type, project=project)
        answer = await ask(self._reports.ListReports, request, deadline)
        return tuple(report_from(report) for report in answer.reports)
