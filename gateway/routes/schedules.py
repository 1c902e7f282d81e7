"""Schedules: see them, let one rest, resume it, start its run now."""

from __future__ import annotations

from flask import Response

from clients.schedules_values import ScheduleReason, ScheduleView
from gateway import convert
from gateway.answering import KEY_PARAMETER, area, idempotency_key, reply
from gateway.schemas import answers
from gateway.schemas import schedules as shapes
from gateway.schemas.documented import answers as documented
from gateway.schemas.requests import Why
from gateway.state import caller

routes = area("schedules")


@routes.get("/schedules", responses=documented({200: shapes.Schedules}))
def list_schedules() -> Response:
    """Every schedule: its next times, how its last run came about, what holds it."""
    found = caller().coordinator(lambda coordinator, left: coordinator.schedules.list(deadline=left))
    return reply(shapes.Schedules(schedules=[_shown(one) for one in found]))


@routes.get("/schedules/<name>/why", responses=documented({200: shapes.ScheduleWhy}, 404))
def why(path: shapes.SchedulePath) -> Response:
    """Why nothing of it starts now."""
    found = caller().coordinator(lambda coordinator, left: coordinator.schedules.why(path.name, deadline=left))
    shown = [_shown(one) for one in found.schedules]
    return reply(shapes.ScheduleWhy(schedules=shown, reasons=[_reason(one) for one in found.reasons]))


@routes.post("/schedules/<name>/pause", responses=documented({200: shapes.SchedulePaused}, 404, 409, 415))
def pause(path: shapes.SchedulePath, body: Why) -> Response:
    """Lets it rest until it is resumed, also over restarts. Undone by /schedules/<name>/resume."""
    changed = caller().coordinator(
        lambda coordinator, left: coordinator.schedules.pause(path.name, reason=body.reason, deadline=left)
    )
    return reply(shapes.SchedulePaused(changed=changed, undo=f"quantum schedule resume {path.name}"))


@routes.post("/schedules/<name>/resume", responses=documented({200: answers.Changed}, 404, 409, 415))
def resume(path: shapes.SchedulePath, body: Why) -> Response:
    """Lets it go on with its next due time; what was due meanwhile is not made up."""
    changed = caller().coordinator(lambda coordinator, left: coordinator.schedules.resume(path.name, deadline=left))
    return reply(answers.Changed(changed=changed))


@routes.post(
    "/schedules/<name>/run",
    responses=documented({201: shapes.ScheduleRun}, 404, 409, 415),
    openapi_extensions={"parameters": [KEY_PARAMETER]},
)
def run(path: shapes.SchedulePath, body: Why) -> Response:
    """Starts now what it starts at its times, which stay as they are. 409 while the run before is not over."""
    key = idempotency_key()
    tasks = caller().coordinator(
        lambda coordinator, left: coordinator.schedules.run(path.name, idempotency_key=key, deadline=left)
    )
    return reply(shapes.ScheduleRun(tasks=[convert.task(task) for task in tasks]), 201, Location="/tasks/queue")


def _shown(view: ScheduleView) -> shapes.Schedule:
    return shapes.Schedule(
        name=view.name,
        agent=view.agent,
        project=view.project or None,
        cron=view.cron,
        timezone=view.timezone,
        overlap=view.overlap,
        catch_up_seconds=None if view.catch_up is None else view.catch_up.total_seconds(),
        paused=view.paused,
        paused_by=view.paused_by or None,
        paused_at=view.paused_at,
        paused_reason=view.paused_reason or None,
        next_runs=list(view.next_runs),
        last_due=view.last_due,
        last_fired_at=view.last_fired_at,
        late_seconds=None if view.late is None else view.late.total_seconds(),
        missed=view.missed,
        passed=view.passed,
        passed_because=view.passed_because or None,
        last_task=None if view.last_task is None else convert.summary(view.last_task),
        problem=view.problem or None,
    )


def _reason(view: ScheduleReason) -> shapes.ScheduleReason:
    return shapes.ScheduleReason(code=view.code, sentence=view.sentence, until=view.until, remedy=view.remedy or None)
