"""The queue as a whole: hold it, let it go, empty it, and undo that."""

from __future__ import annotations

from flask import Response

from gateway.answering import area, reply
from gateway.schemas import answers
from gateway.schemas.documented import answers as documented
from gateway.schemas.requests import Clear, Undo, Why
from gateway.state import caller

routes = area("queue")


@routes.post("/queue/pause", responses=documented({200: answers.Changed}, 409, 415))
def pause(body: Why) -> Response:
    """Lets nothing new start; what runs runs on, and submits are accepted. Undone by /queue/resume."""
    changed = caller().coordinator(lambda coordinator, left: coordinator.pause_queue(reason=body.reason, deadline=left))
    return reply(answers.Changed(changed=changed))


@routes.post("/queue/resume", responses=documented({200: answers.Changed}, 409, 415))
def resume(body: Why) -> Response:
    """Undoes /queue/pause."""
    changed = caller().coordinator(lambda coordinator, left: coordinator.resume_queue(deadline=left))
    return reply(answers.Changed(changed=changed))


@routes.post("/queue/clear", responses=documented({200: answers.Cleared}, 404, 409, 415))
def clear(body: Clear) -> Response:
    """Cancels every task that waits, or counts them with `dry_run`. Undone by /queue/undo."""
    clearing = caller().coordinator(
        lambda coordinator, left: coordinator.clear_queue(
            agent=body.agent or "", reason=body.reason, dry_run=body.dry_run, deadline=left
        )
    )
    undo = f"quantum queue undo {clearing.clearing_id}" if clearing.clearing_id else None
    return reply(
        answers.Cleared(
            cleared=clearing.cleared,
            dry_run=body.dry_run,
            clearing_id=clearing.clearing_id or None,
            undo=undo,
        )
    )


@routes.post("/queue/undo", responses=documented({200: answers.Restored}, 404, 409, 415))
def undo(body: Undo) -> Response:
    """Submits the tasks of a clearing again, as new tasks; a second time changes nothing."""
    restored = caller().coordinator(lambda coordinator, left: coordinator.undo_clear(body.clearing_id, deadline=left))
    return reply(answers.Restored(restored=restored))
