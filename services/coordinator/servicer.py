"""The doors of the coordinator but the runner's: decode, delegate, encode."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import grpc.aio

from foundation.auth import current_caller, require_asked
from foundation.tokens import mask
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
from services.coordinator.app.agents import Agents
from services.coordinator.app.cancel import Cancel
from services.coordinator.app.changes import Changes
from services.coordinator.app.clear import Clear, UndoClear
from services.coordinator.app.decide import Decide
from services.coordinator.app.explain import Explain
from services.coordinator.app.log import ReadLog
from services.coordinator.app.queue import Queue
from services.coordinator.app.reports import list_reports
from services.coordinator.app.retry import Retry
from services.coordinator.app.selection import SHOWN_MAX
from services.coordinator.app.services import Services
from services.coordinator.app.submit import Submit
from services.coordinator.app.tasks import get_task, list_tasks
from services.coordinator.app.watch import watch_tasks
from services.coordinator.convert import (
    decision_from,
    filter_from,
    optional_timestamp,
    requests_from,
    selection_from,
    submitted_to,
    task_in_full_to,
    task_to,
    tasks_to,
)
from services.coordinator.convert_fleet import agent_to, report_to, stats_to
from services.coordinator.domain.task import Task
from services.coordinator.ports import Catalogue, Store

Context = grpc.aio.ServicerContext[Any, Any]


class TaskServicer(tasks_pb2_grpc.TaskServiceServicer):
    """Tasks."""

    def __init__(
        self,
        store: Store,
        changes: Changes,
        services: Services,
        catalogue: Catalogue,
        *,
        submit: Submit,
        cancel: Cancel,
        retry: Retry,
        decide: Decide,
        explain: Explain,
        read_log: ReadLog,
    ) -> None:
        self._store = store
        self._changes = changes
        self._services = services
        self._catalogue = catalogue
        self._submit = submit
        self._cancel = cancel
        self._retry = retry
        self._decide = decide
        self._explain = explain
        self._read_log = read_log

    async def SubmitTasks(
        self, request: tasks_pb2.SubmitTasksRequest, context: Context
    ) -> tasks_pb2.SubmitTasksResponse:
        requests = requests_from(request.tasks)
        done = await self._submit(requests, request.idempotency_key, current_caller())
        return submitted_to(done.tasks, done.position, self._catalogue.agents())

    async def GetTask(self, request: tasks_pb2.GetTaskRequest, context: Context) -> tasks_pb2.GetTaskResponse:
        found = await get_task(self._store, request.id)
        return tasks_pb2.GetTaskResponse(
            task=task_in_full_to(found, self._catalogue.agents(), self._services.status(found.task.id))
        )

    async def ListTasks(self, request: tasks_pb2.ListTasksRequest, context: Context) -> tasks_pb2.ListTasksResponse:
        wanted = filter_from(request.filter)
        page = await list_tasks(self._store, wanted, size=request.page_size, token=request.page_token)
        counts = {state.value: number for state, number in page.counts.items() if number}
        return tasks_pb2.ListTasksResponse(
            tasks=self._shown(page.tasks), next_page_token=page.next_token, counts=counts
        )

    async def CancelTasks(
        self, request: tasks_pb2.CancelTasksRequest, context: Context
    ) -> tasks_pb2.CancelTasksResponse:
        done = await self._cancel(selection_from(request), mask(request.reason))
        return tasks_pb2.CancelTasksResponse(
            tasks=self._shown(done.tasks), already_ended=done.already_ended, cancelled=done.count
        )

    async def RetryTasks(self, request: tasks_pb2.RetryTasksRequest, context: Context) -> tasks_pb2.RetryTasksResponse:
        done = await self._retry(selection_from(request), request.idempotency_key, current_caller())
        return tasks_pb2.RetryTasksResponse(tasks=self._shown(done.tasks[:SHOWN_MAX]), retried=len(done.tasks))

    async def DecideTask(self, request: tasks_pb2.DecideTaskRequest, context: Context) -> tasks_pb2.DecideTaskResponse:
        require_asked(current_caller())
        decision = decision_from(request.decision)
        task = await self._decide(request.id, decision, mask(request.note), current_caller())
        return tasks_pb2.DecideTaskResponse(task=task_to(task, self._catalogue.agents()))

    async def ExplainTask(
        self, request: tasks_pb2.ExplainTaskRequest, context: Context
    ) -> tasks_pb2.ExplainTaskResponse:
        task, why = await self._explain(request.id)
        return tasks_pb2.ExplainTaskResponse(
            code=why.code,
            sentence=why.sentence,
            until=optional_timestamp(why.until),
            remedy=why.remedy,
            task=task_to(task, self._catalogue.agents()),
        )

    async def WatchTasks(
        self, request: tasks_pb2.WatchTasksRequest, context: Context
    ) -> AsyncIterator[tasks_pb2.WatchTasksResponse]:
        batches = watch_tasks(self._store, self._changes, after=request.after, ids=request.ids)
        async with aclosing(batches):
            async for batch in batches:
                yield tasks_pb2.WatchTasksResponse(tasks=self._shown(batch.tasks), position=batch.position)

    async def ReadLog(
        self, request: tasks_pb2.ReadLogRequest, context: Context
    ) -> AsyncIterator[tasks_pb2.ReadLogResponse]:
        chunks = self._read_log(request.id, request.offset, follow=request.follow, attempt=request.attempt)
        async with aclosing(chunks):
            async for chunk in chunks:
                ended = None if chunk.ended is None else task_to(chunk.ended, self._catalogue.agents())
                yield tasks_pb2.ReadLogResponse(
                    data=chunk.data, offset=chunk.offset, ended=ended, attempt=chunk.attempt
                )

    def _shown(self, tasks: Iterable[Task]) -> list[tasks_pb2.Task]:
        return tasks_to(tasks, self._catalogue.agents())


class QueueServicer(queue_pb2_grpc.QueueServiceServicer):
    """The queue as a whole."""

    def __init__(self, queue: Queue, clear: Clear, undo: UndoClear) -> None:
        self._queue = queue
        self._clear = clear
        self._undo = undo

    async def GetQueueStats(
        self, request: queue_pb2.GetQueueStatsRequest, context: Context
    ) -> queue_pb2.GetQueueStatsResponse:
        return stats_to(await self._queue.stats())

    async def PauseQueue(self, request: queue_pb2.PauseQueueRequest, context: Context) -> queue_pb2.PauseQueueResponse:
        changed = await self._queue.pause(mask(request.reason), current_caller())
        return queue_pb2.PauseQueueResponse(changed=changed)

    async def ResumeQueue(
        self, request: queue_pb2.ResumeQueueRequest, context: Context
    ) -> queue_pb2.ResumeQueueResponse:
        require_asked(current_caller())
        return queue_pb2.ResumeQueueResponse(changed=await self._queue.resume())

    async def ClearQueue(self, request: queue_pb2.ClearQueueRequest, context: Context) -> queue_pb2.ClearQueueResponse:
        done = await self._clear(request.agent, mask(request.reason), current_caller(), dry_run=request.dry_run)
        return queue_pb2.ClearQueueResponse(cleared=done.count, clearing_id=done.clearing_id)

    async def UndoClearQueue(
        self, request: queue_pb2.UndoClearQueueRequest, context: Context
    ) -> queue_pb2.UndoClearQueueResponse:
        require_asked(current_caller())
        restored = await self._undo(request.clearing_id, current_caller())
        return queue_pb2.UndoClearQueueResponse(restored=restored)


class AgentServicer(agents_pb2_grpc.AgentServiceServicer):
    """The catalogue."""

    def __init__(self, agents: Agents, catalogue: Catalogue) -> None:
        self._agents = agents
        self._catalogue = catalogue

    async def ListAgents(
        self, request: agents_pb2.ListAgentsRequest, context: Context
    ) -> agents_pb2.ListAgentsResponse:
        return agents_pb2.ListAgentsResponse(agents=[agent_to(view) for view in await self._agents.list()])

    async def GetAgent(self, request: agents_pb2.GetAgentRequest, context: Context) -> agents_pb2.GetAgentResponse:
        return agents_pb2.GetAgentResponse(agent=agent_to(await self._agents.get(request.name)))

    async def ReloadAgents(
        self, request: agents_pb2.ReloadAgentsRequest, context: Context
    ) -> agents_pb2.ReloadAgentsResponse:
        return agents_pb2.ReloadAgentsResponse(agents=[agent_to(view) for view in await self._agents.reload()])

    async def ListProjects(
        self, request: agents_pb2.ListProjectsRequest, context: Context
    ) -> agents_pb2.ListProjectsResponse:
        projects = sorted(self._catalogue.projects().items())
        return agents_pb2.ListProjectsResponse(
            projects=[agents_pb2.Project(name=name, folder=folder) for name, folder in projects],
            faults=self._catalogue.project_faults(),
        )


class ReportServicer(reports_pb2_grpc.ReportServiceServicer):
    """Reports."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ListReports(
        self, request: reports_pb2.ListReportsRequest, context: Context
    ) -> reports_pb2.ListReportsResponse:
        reports = await list_reports(self._store, type=request.type, project=request.project)
        return reports_pb2.ListReportsResponse(reports=[report_to(report) for report in reports])
