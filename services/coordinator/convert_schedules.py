"""Between the wire's messages and our values, for schedules."""

from collections.abc import Mapping

from protos.coordinator.v1 import schedules_pb2 as pb
from services.coordinator.app.schedules_shown import Reason, ScheduleView
from services.coordinator.convert import duration, optional_timestamp, task_to, timestamp
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.schedule import Overlap

_OVERLAPS = {overlap: getattr(pb, f"OVERLAP_{overlap.name}") for overlap in Overlap}


def schedule_to(view: ScheduleView, agents: Mapping[str, AgentSpec]) -> pb.Schedule:
    """One schedule; what there is not stays absent."""
    entry, schedule, standing = view.entry, view.entry.schedule, view.standing
    return pb.Schedule(
        name=entry.key.name,
        agent=entry.key.agent,
        project=entry.key.project,
        cron=schedule.written,
        timezone=entry.zone,
        overlap=_OVERLAPS[schedule.overlap],
        catch_up=None if schedule.catch_up is None else duration(schedule.catch_up),
        paused=bool(view.pause.by),
        paused_by=view.pause.by,
        paused_at=optional_timestamp(view.pause.at),
        paused_reason=view.pause.reason,
        next_runs=map(timestamp, view.next_runs),
        last_due=optional_timestamp(standing.last_due),
        last_fired_at=optional_timestamp(standing.last_fired_at),
        late=None if standing.late is None else duration(standing.late),
        missed=standing.missed,
        passed=standing.passed,
        passed_because=standing.passed_because,
        last_task=None if view.last_task is None else task_to(view.last_task, agents),
        problem=view.problem,
    )


def reason_to(reason: Reason) -> pb.ScheduleReason:
    """Why nothing starts now."""
    return pb.ScheduleReason(
        code=reason.code, sentence=reason.sentence, until=optional_timestamp(reason.until), remedy=reason.remedy
    )
