"""The runners: see them, let nothing new start on one, and undo that."""

from __future__ import annotations

from flask import Response

from gateway import convert
from gateway.answering import area, reply
from gateway.schemas import answers
from gateway.schemas.documented import answers as documented
from gateway.schemas.requests import RunnerPath, Why
from gateway.schemas.runners import Drained, Runners
from gateway.state import caller

routes = area("runners")


@routes.get("/runners", responses=documented({200: Runners}))
def list_runners() -> Response:
    """Those that are attached, and those that are drained and away."""
    runners = caller().coordinator(lambda coordinator, left: coordinator.list_runners(deadline=left))
    return reply(Runners(runners=[convert.runner(runner) for runner in runners]))


@routes.post("/runners/<name>/drain", responses=documented({200: Drained}, 404, 409, 415))
def drain(path: RunnerPath, body: Why) -> Response:
    """Lets nothing new start there, also after a restart; what runs runs on. Undone by /runners/<name>/resume."""
    done = caller().coordinator(
        lambda coordinator, left: coordinator.drain_runner(path.name, reason=body.reason, deadline=left)
    )
    return reply(Drained(changed=done.changed, running=done.running, undo=f"quantum runner resume {path.name}"))


@routes.post("/runners/<name>/resume", responses=documented({200: answers.Changed}, 404, 409, 415))
def resume(path: RunnerPath, body: Why) -> Response:
    """Undoes /runners/<name>/drain."""
    changed = caller().coordinator(lambda coordinator, left: coordinator.resume_runner(path.name, deadline=left))
    return reply(answers.Changed(changed=changed))
