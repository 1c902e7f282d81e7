"""The door of schedules: decode, delegate, encode."""

from collections.abc import Iterable
from typing import Any

import grpc.aio

from foundation.auth import current_caller, require_asked
from foundation.tokens import mask
from protos.coordinator.v1 import schedules_pb2 as pb
from protos.coordinator.v1 import schedules_pb2_grpc
from services.coordinator.app.schedule_book import ScheduleBook
from services.coordinator.app.schedules_shown import ScheduleView
from services.coordinator.convert import tasks_to
from services.coordinator.convert_schedules import reason_to, schedule_to
from services.coordinator.ports import Catalogue

Context = grpc.aio.ServicerContext[Any, Any]


class ScheduleServicer(schedules_pb2_grpc.ScheduleServiceServicer):
    """Schedules."""

    def __init__(self, book: ScheduleBook, catalogue: Catalogue) -> None:
        self._show = book.show
        self._acts = book.acts
        self._catalogue = catalogue

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Context) -> pb.ListSchedulesResponse:
        return pb.ListSchedulesResponse(schedules=self._shown(await self._show.all()))

    async def ExplainSchedule(self, request: pb.ExplainScheduleRequest, context: Context) -> pb.ExplainScheduleResponse:
        views, reasons = await self._show.why(request.name)
        return pb.ExplainScheduleResponse(schedules=self._shown(views), reasons=map(reason_to, reasons))

    async def PauseSchedule(self, request: pb.PauseScheduleRequest, context: Context) -> pb.PauseScheduleResponse:
        return pb.PauseScheduleResponse(changed=await self._acts.pause(request.name, mask(request.reason)))

    async def ResumeSchedule(self, request: pb.ResumeScheduleRequest, context: Context) -> pb.ResumeScheduleResponse:
        require_asked(current_caller())
        return pb.ResumeScheduleResponse(changed=await self._acts.resume(request.name))

    async def RunSchedule(self, request: pb.RunScheduleRequest, context: Context) -> pb.RunScheduleResponse:
        tasks = await self._acts.run(request.name, request.idempotency_key, current_caller())
        return pb.RunScheduleResponse(tasks=tasks_to(tasks, self._catalogue.agents()))

    def _shown(self, views: Iterable[ScheduleView]) -> list[pb.Schedule]:
        return [schedule_to(view, self._catalogue.agents()) for view in views]
