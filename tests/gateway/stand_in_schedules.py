"""One schedule, which can be paused, resumed and run."""

from __future__ import annotations

from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from foundation.auth import current_caller
from foundation.errors import Conflict, NotFound
from foundation.rpc.server import RpcServer
from protos.coordinator.v1 import schedules_pb2 as pb
from protos.coordinator.v1 import schedules_pb2_grpc, tasks_pb2

Context = grpc.aio.ServicerContext[object, object]
CONTRACT = pb
NAME = "code-health@HabitQuest"
DUE = 1_767_225_600
LATE = timedelta(hours=3, minutes=10)


def add_to(server: RpcServer) -> None:
    """Put it behind the coordinator's door."""
    schedules = Schedules()
    add = schedules_pb2_grpc.add_ScheduleServiceServicer_to_server
    server.add(add, schedules, "quantum.coordinator.v1.ScheduleService")


class Schedules(schedules_pb2_grpc.ScheduleServiceServicer):
    """`paused` has the one there is, and for whom, while it rests."""

    def __init__(self) -> None:
        self.paused: dict[str, str] = {}
        self.ran: set[str] = set()

    def schedule(self) -> pb.Schedule:
        """As it stands."""
        late = Duration()
        late.FromTimedelta(LATE)
        return pb.Schedule(
            name=NAME,
            agent="code-health",
            project="HabitQuest",
            cron="0 5 * * MON",
            timezone="Europe/Berlin",
            overlap=pb.OVERLAP_SKIP,
            paused=NAME in self.paused,
            paused_by=self.paused.get(NAME, ""),
            next_runs=[] if NAME in self.paused else [Timestamp(seconds=DUE + 7 * 86_400)],
            last_due=Timestamp(seconds=DUE),
            last_fired_at=Timestamp(seconds=DUE + int(LATE.total_seconds())),
            late=late,
            missed=39,
        )

    def _known(self, name: str) -> None:
        if name not in (NAME, "code-health"):
            raise NotFound("unknown_agent", f"There is no agent “{name}”.")

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Context) -> pb.ListSchedulesResponse:
        """The one there is."""
        return pb.ListSchedulesResponse(schedules=[self.schedule()])

    async def ExplainSchedule(self, request: pb.ExplainScheduleRequest, context: Context) -> pb.ExplainScheduleResponse:
        """It is not due."""
        self._known(request.name)
        reason = pb.ScheduleReason(code="not_due", sentence="It is not due yet.", until=Timestamp(seconds=DUE))
        return pb.ExplainScheduleResponse(schedules=[self.schedule()], reasons=[reason])

    async def PauseSchedule(self, request: pb.PauseScheduleRequest, context: Context) -> pb.PauseScheduleResponse:
        """Once."""
        self._known(request.name)
        changed = NAME not in self.paused
        self.paused.setdefault(NAME, current_caller().name)
        return pb.PauseScheduleResponse(changed=changed)

    async def ResumeSchedule(self, request: pb.ResumeScheduleRequest, context: Context) -> pb.ResumeScheduleResponse:
        """If it rested."""
        self._known(request.name)
        return pb.ResumeScheduleResponse(changed=self.paused.pop(NAME, None) is not None)

    async def RunSchedule(self, request: pb.RunScheduleRequest, context: Context) -> pb.RunScheduleResponse:
        """Under one key alone: its task never ends."""
        self._known(request.name)
        self.ran.add(request.idempotency_key)
        if len(self.ran) > 1:
            raise Conflict("still_open", "Its task is open still.")
        state, effects = tasks_pb2.TASK_STATE_QUEUED, tasks_pb2.EFFECTS_NONE
        task = tasks_pb2.Task(id="0" * 26, agent="code-health", project="HabitQuest", state=state, effects=effects)
        return pb.RunScheduleResponse(tasks=[task])
