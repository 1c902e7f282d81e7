"""Merge checks: git hooks ask for them and follow them, people look at them, attempts have them confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from flask import Response, request

from clients.merges_values import MergeCheckView, MergeEvent, MergeRequest, StartedCheck
from foundation.errors import QuantumError
from gateway import merge_lines
from gateway.answering import area, reply
from gateway.problem import wants_text
from gateway.schemas import merges as shapes
from gateway.schemas.documented import TEXT
from gateway.schemas.documented import answers as documented
from gateway.services import STREAM_TICK
from gateway.state import caller, gateway

routes = area("merges")

_SIGN_EVERY = timedelta(seconds=15)
_PLAIN = "text/plain; charset=utf-8"
_FOLLOWED = {
    "description": "A line for each change of progress, an empty one every 15 s in which nothing changed; the last one"
    " is `= <verdict> <action>: <sentence>`. Without that one, ask again: the check has not ended.",
    "content": TEXT,
}


@routes.post("/hooks/merge", responses=documented({202: shapes.StartedCheck}, 404, 409, 415))
def ask_from_hook(body: shapes.HookCall) -> Response:
    """Asks that what came into a repository be checked. With `Accept: text/plain`: its id and a sentence, as lines."""
    return _started(
        MergeRequest(
            repository=body.repository,
            folder=body.folder,
            event=MergeEvent(body.event),
            old=body.old,
            new=body.new,
            background=body.background,
        )
    )


@routes.post("/merges/requests", responses=documented({202: shapes.StartedCheck}, 404, 409, 415))
def ask_for_merge(body: shapes.WantedMerge) -> Response:
    """Asks that a branch be merged and tested apart from the repository, and the branch moved there if it is good.

    409: merges are frozen, need an approval, or the mode holds them.
    """
    return _started(
        MergeRequest(
            repository=body.repository, folder=body.folder, event=MergeEvent.REQUEST, topic=body.topic, background=False
        )
    )


@routes.get("/merges", responses=documented({200: shapes.MergeChecks}))
def list_checks(query: shapes.CheckQuery) -> Response:
    """Lists checks, the newest first, a page at a time, without their evidence."""
    page = caller().coordinator(
        lambda coordinator, left: coordinator.merges.list(
            repository=query.repository or "",
            project=query.project or "",
            limit=query.limit,
            cursor=query.cursor,
            deadline=left,
        )
    )
    return reply(shapes.MergeChecks(checks=[_shown(check) for check in page.checks], next=page.next))


@routes.get("/merges/freedom", responses=documented({200: shapes.Freedom}, 404))
def get_freedom(query: shapes.FreedomQuery) -> Response:
    """Whether a merge that a person asks for is free, needs an approval, or is frozen."""
    found = caller().coordinator(
        lambda coordinator, left: coordinator.merges.freedom(query.repository, deadline=left),
    )
    return reply(shapes.Freedom(freedom=found.freedom.value, reason=found.reason or None))


@routes.post("/merges/approve", responses=documented({200: shapes.Approved}, 404, 409, 415))
def approve(body: shapes.Approval) -> Response:
    """Approves the next merge into a repository, which is good once, for an hour; lifts a freeze after rollbacks."""
    until = caller().coordinator(
        lambda coordinator, left: coordinator.merges.approve(body.repository, reason=body.reason, deadline=left)
    )
    return reply(shapes.Approved(until=until))


@routes.get("/merges/<check_id>", responses=documented({200: shapes.OneCheck}, 404))
def get_check(path: shapes.CheckPath) -> Response:
    """One check, with its evidence."""
    return _one(caller().coordinator(lambda coordinator, left: coordinator.merges.get(path.check_id, deadline=left)))


@routes.get("/merges/<check_id>/follow", responses=documented({200: _FOLLOWED}, 404))
def follow(path: shapes.CheckPath) -> Response:
    """Follows a check to its end, as lines of text that come as things happen."""
    if request.method == "HEAD":
        caller().coordinator(lambda coordinator, left: coordinator.merges.get(path.check_id, deadline=left))
        return Response(content_type=_PLAIN)
    stream = OpenFollow(path.check_id)
    response = Response(stream.lines(), content_type=_PLAIN)
    response.call_on_close(stream.close)
    return response


@routes.post("/merges/<check_id>/leave", responses=documented({200: shapes.OneCheck}, 404, 415))
def leave(path: shapes.CheckPath) -> Response:
    """Says that nobody waits any more: from now on the check reports, and changes nothing in the repository."""
    return _one(caller().coordinator(lambda coordinator, left: coordinator.merges.leave(path.check_id, deadline=left)))


@routes.post("/merges/<check_id>/confirm", responses=documented({200: shapes.Confirmation}, 404, 409, 415))
def confirm(path: shapes.CheckPath, body: shapes.FoundCommits) -> Response:
    """Whether the attempt whose credential is shown may move the branch now; for that attempt alone."""
    said = caller().coordinator(
        lambda coordinator, left: coordinator.merges.confirm(path.check_id, old=body.old, new=body.new, deadline=left)
    )
    return reply(shapes.Confirmation(may_move=said.may_move, reason=said.reason))


@routes.post("/merges/<check_id>/undone", responses=documented({200: shapes.OneCheck}, 404, 409, 415))
def record_undone(path: shapes.CheckPath) -> Response:
    """Records that what the check took away was brought back (`quantum merge undo` does both)."""
    return _one(
        caller().coordinator(lambda coordinator, left: coordinator.merges.record_undone(path.check_id, deadline=left))
    )


class OpenFollow:
    """A check that is being followed; to be closed once, whether it has ended or the client left."""

    def __init__(self, check_id: str) -> None:
        """Waits for the state it is in, so that a refusal is an answer of its own. Raises QuantumError."""
        self._drain = gateway().drain
        self._slots = gateway().slots
        self._slots.take()
        self._closed = False
        self._checks = caller().stream(lambda coordinator: coordinator.merges.watch(check_id))
        try:
            self._first = next(self._checks, None)
        except BaseException:
            self.close()
            raise

    def lines(self) -> Iterator[str]:
        """What hooks show; without the verdict when the gateway ends or the coordinator does not come back."""
        try:
            yield from merge_lines.followed(self._until_drained(), ticks_per_sign=round(_SIGN_EVERY / STREAM_TICK))
        except QuantumError as error:
            yield f"{merge_lines.progress(error.message)}\n"

    def close(self) -> None:
        """Ends the stream behind this and makes room for another."""
        if not self._closed:
            self._closed = True
            self._slots.give_back()
            self._checks.close()

    def _until_drained(self) -> Iterator[MergeCheckView | None]:
        yield self._first
        for check in self._checks:
            if self._drain.begun:
                return
            yield check


def _started(wanted: MergeRequest) -> Response:
    started = caller().coordinator(lambda coordinator, left: coordinator.merges.start(wanted, deadline=left))
    location = f"/merges/{started.check.id}"
    if wants_text():
        return Response(merge_lines.answer(started), status=202, content_type=_PLAIN, headers={"Location": location})
    return reply(_started_shape(started), 202, Location=location)


def _started_shape(started: StartedCheck) -> shapes.StartedCheck:
    return shapes.StartedCheck(check=_shown(started.check), known=started.known)


def _one(check: MergeCheckView) -> Response:
    return reply(shapes.OneCheck(check=_shown(check)))


def _shown(view: MergeCheckView) -> shapes.MergeCheck:
    return shapes.MergeCheck(
        id=view.id,
        repository=view.repository,
        folder=view.folder,
        project=view.project or None,
        event=view.event.value if view.event else None,
        branch=view.branch or None,
        old=view.old or None,
        new=view.new or None,
        state=view.state.value,
        progress=view.progress or None,
        verdict=view.verdict.value if view.verdict else None,
        action=view.action.value if view.action else None,
        sentence=view.sentence or None,
        undo=view.undo or None,
        task=view.task or None,
        created_at=view.created_at,
        ended_at=view.ended_at,
        only_report_reason=view.only_report_reason or None,
        undone_at=view.undone_at,
        freedom_reason=view.freedom_reason or None,
        evidence=None if view.evidence is None else dict(view.evidence),
    )
