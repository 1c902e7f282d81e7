"""The client of schedules, over a channel to the coordinator."""

from __future__ import annotations

from datetime import UTC, timedelta

import grpc.aio

from clients.calling import DEADLINE, ask
from clients.coordinator_convert import task_from, tasks_from, word
from clients.coordinator_values import TaskView
from clients.schedules_values import ScheduleExplanation, ScheduleReason, ScheduleView
from clients.wire_values import duration_in, moment_in
from protos.coordinator.v1 import schedules_pb2, schedules_pb2_grpc


class ScheduleClient:
    """Every method raises QuantumError alone, as CoordinatorClient's do. A name is `agent` or `agent@project`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel belongs to whoever opened it."""
        self._schedules = schedules_pb2_grpc.ScheduleServiceStub(channel)

    async def list(self, *, deadline: timedelta = DEADLINE) -> tuple[ScheduleView, ...]:
        """All schedules, by name."""
        answer = await ask(self._schedules.ListSchedules, schedules_pb2.ListSchedulesRequest(), deadline)
        return tuple(map(_schedule_from, answer.schedules))

    async def why(self, name: str, *, deadline: timedelta = DEADLINE) -> ScheduleExplanation:
        """Why nothing of what a name means starts now. Raises NotFound."""
        request = schedules_pb2.ExplainScheduleRequest(name=name)
        answer = await ask(self._schedules.ExplainSchedule, request, deadline)
        return ScheduleExplanation(
            schedules=tuple(map(_schedule_from, answer.schedules)), reasons=tuple(map(_reason_from, answer.reasons))
        )

    async def pause(self, name: str, *, reason: str = "", deadline: timedelta = DEADLINE) -> bool:
        """Lets it rest until it is resumed; False when it did already. Raises NotFound."""
        request = schedules_pb2.PauseScheduleRequest(name=name, reason=reason)
        return (await ask(self._schedules.PauseSchedule, request, deadline)).changed

    async def resume(self, name: str, *, deadline: timedelta = DEADLINE) -> bool:
        """Lets it go on with its next due time; False when it did not rest.

        Raises NotFound; Conflict for one project's while its agent's rest as a whole.
        """
        request = schedules_pb2.ResumeScheduleRequest(name=name)
        return (await ask(self._schedules.ResumeSchedule, request, deadline)).changed

    async def run(
        self, name: str, *, idempotency_key: str = "", deadline: timedelta = DEADLINE
    ) -> tuple[TaskView, ...]:
        """Starts now what it starts at its times; one task for each schedule that the name means.

        Raises NotFound; Conflict, code `still_open`, while the run before is not over and two at once are not allowed.
        """
        request = schedules_pb2.RunScheduleRequest(name=name, idempotency_key=idempotency_key)
        return tasks_from((await ask(self._schedules.RunSchedule, request, deadline)).tasks)


def _schedule_from(wire: schedules_pb2.Schedule) -> ScheduleView:
    return ScheduleView(
        name=wire.name,
        agent=wire.agent,
        project=wire.project,
        cron=wire.cron,
        timezone=wire.timezone,
        overlap=word(schedules_pb2.Overlap.Name(wire.overlap), "OVERLAP_"),
        catch_up=duration_in(wire, "catch_up"),
        paused=wire.paused,
        paused_by=wire.paused_by,
        paused_at=moment_in(wire, "paused_at"),
        paused_reason=wire.paused_reason,
        next_runs=tuple(at.ToDatetime(UTC) for at in wire.next_runs),
        last_due=moment_in(wire, "last_due"),
        last_fired_at=moment_in(wire, "last_fired_at"),
        late=duration_in(wire, "late"),
        missed=wire.missed,
        passed=wire.passed,
        passed_because=wire.passed_because,
        last_task=task_from(wire.last_task) if wire.HasField("last_task") else None,
        problem=wire.problem,
    )


def _reason_from(wire: schedules_pb2.ScheduleReason) -> ScheduleReason:
    return ScheduleReason(code=wire.code, sentence=wire.sentence, until=moment_in(wire, "until"), remedy=wire.remedy)
