"""The operating mode: read it, set it, stop everything, go on."""

from __future__ import annotations

from flask import Response

from foundation.errors import TimedOut, Unavailable
from gateway import convert
from gateway.answering import area, reply
from gateway.schemas import answers
from gateway.schemas.documented import answers as documented
from gateway.schemas.requests import NewMode, Why
from gateway.state import caller

routes = area("mode")

LADDER = ("NORMAL", "GUARDED", "DRAIN", "FROZEN", "STOPPED")
"""The modes, the stricter the later."""


@routes.get("/mode", responses=documented({200: answers.Mode}))
def get_mode() -> Response:
    """The mode that holds now, since when and why."""
    return reply(convert.mode(caller().safety(lambda safety, left: safety.get_mode(deadline=left))))


@routes.post("/mode", responses=documented({200: answers.ModeChange}, 409, 415))
def set_mode(body: NewMode) -> Response:
    """Goes to a rung of the ladder: tightens it (`cancel`) or loosens it (`operate`)."""
    present = caller().safety(lambda safety, left: safety.get_mode(deadline=left))
    if LADDER.index(body.mode) >= LADDER.index(present.mode):
        change = caller().safety(lambda safety, left: safety.tighten_mode(body.mode, reason=body.reason, deadline=left))
    else:
        change = caller().safety(lambda safety, left: safety.resume_mode(body.mode, reason=body.reason, deadline=left))
    return reply(convert.mode_change(change))


@routes.post("/mode/stop", responses=documented({200: answers.ModeChange}, 409, 415))
def stop(body: Why) -> Response:
    """Ends every running task and lets nothing start, also after a restart, until resumed."""
    try:
        change = caller().safety(lambda safety, left: safety.tighten_mode("STOPPED", reason=body.reason, deadline=left))
    except (Unavailable, TimedOut) as error:
        # What was asked for is an emergency, and one line still does it.
        raise type(error)(
            error.code,
            f"Nothing was stopped by this: {error.message}",
            remedy="Type: quantum stop --all (it needs no service).",
            retry_after=error.retry_after,
        ) from error
    return reply(convert.mode_change(change))


@routes.post("/mode/resume", responses=documented({200: answers.ModeChange}, 409, 415))
def resume(body: Why) -> Response:
    """Goes back to NORMAL."""
    change = caller().safety(lambda safety, left: safety.resume_mode(reason=body.reason, deadline=left))
    return reply(convert.mode_change(change))
