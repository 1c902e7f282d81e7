"""A coordinator that knows one task, behind the server that every service of ours has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc

from foundation.auth import Caller
from foundation.clock import SystemClock
from foundation.errors import NotFound, Unauthenticated
from foundation.log import get_logger
from foundation.rpc.server import RpcServer
from protos.coordinator.v1 import tasks_pb2, tasks_pb2_grpc
from protos.scopes import scopes_of

TOKEN = "qtm_stand_in"
EXIT_CODE = 7
LINES = ("one\n", "two\n", "three\n")

Context = grpc.aio.ServicerContext[object, object]


class OneTask(tasks_pb2_grpc.TaskServiceServicer):
    """Runs every agent called `seven` at once: it prints three lines and exits 7."""

    async def SubmitTasks(
        self, request: tasks_pb2.SubmitTasksRequest, context: Context
    ) -> tasks_pb2.SubmitTasksResponse:
        """Accept, or refuse as the real one does."""
        if request.tasks[0].agent != "seven":
            raise NotFound("unknown_agent", f"There is no agent “{request.tasks[0].agent}”. Did you mean “seven”?")
        return tasks_pb2.SubmitTasksResponse(tasks=[tasks_pb2.Task(id="task1", agent="seven")])

    async def ListTasks(self, request: tasks_pb2.ListTasksRequest, context: Context) -> tasks_pb2.ListTasksResponse:
        """The one task."""
        return tasks_pb2.ListTasksResponse(tasks=[tasks_pb2.Task(id="task1", agent="seven")])

    async def ReadLog(
        self, request: tasks_pb2.ReadLogRequest, context: Context
    ) -> AsyncIterator[tasks_pb2.ReadLogResponse]:
        """The lines, then the end."""
        for line in LINES:
            yield tasks_pb2.ReadLogResponse(data=line.encode())
            await asyncio.sleep(0)
        ended = tasks_pb2.Task(id="task1", state=tasks_pb2.TASK_STATE_FAILED, exit_code=EXIT_CODE)
        yield tasks_pb2.ReadLogResponse(ended=ended)


class OneToken:
    """Knows one token, good for reading and submitting."""

    async def verify(self, token: str) -> Caller:
        """The caller, for that token."""
        if token != TOKEN:
            raise Unauthenticated("bad_token", "That token is not known.")
        return Caller(token_id="t", name="test", scopes=frozenset({"read", "submit"}))


@asynccontextmanager
async def coordinator(socket: Path) -> AsyncIterator[None]:
    """The stand-in, answering on `socket`."""
    server = RpcServer(
        "coordinator",
        verifier=OneToken(),
        scopes=scopes_of([tasks_pb2.DESCRIPTOR]),
        logger=get_logger("coordinator"),
        clock=SystemClock(),
    )
    one_task = OneTask()  # type: ignore[abstract]  # every other method stays UNIMPLEMENTED
    server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, one_task, "quantum.coordinator.v1.TaskService")
    await server.start(socket)
    await server.set_serving(True)
    try:
        yield
    finally:
        await server.stop(timedelta(seconds=1))
