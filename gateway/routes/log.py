"""A task's output: as text, or followed by server-sent events."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from flask import Response, request

from clients.coordinator_values import LogChunk
from foundation.errors import Invalid, QuantumError
from gateway import convert, problem
from gateway.answering import area, header_parameter
from gateway.schemas.documented import answers as documented
from gateway.schemas.requests import LogQuery, TaskPath
from gateway.state import caller, gateway
from gateway.streams import COME_BACK, MEDIA_TYPE, SIGN_OF_LIFE, OutputEvents, json_event

routes = area("log")

_TICKS_PER_SIGN = 20
_EVENT_ID = re.compile("[0-9]{1,15}")
_LAST_EVENT_ID = header_parameter(
    "Last-Event-ID",
    "The id of the last event that was seen: go on behind it.",
    {"type": "string", "pattern": "^[0-9]{1,15}$"},
)
_EVENT = {
    "type": "object",
    "description": "One event: `log` (a piece of the output), `end` (JSON: the task) or `problem` (JSON).",
    "properties": {name: {"type": "string"} for name in ("event", "id", "data")},
}
_CONTENT = {
    "description": "The output, from the offset on.",
    "content": {"text/plain": {"schema": {"type": "string"}}, MEDIA_TYPE: {"schema": _EVENT}},
}


@routes.get("/tasks/<task_id>/log", responses=documented({200: _CONTENT}, 404))
def read_log(path: TaskPath, query: LogQuery) -> Response:
    """A task's output as text; with `follow=1` or `Accept: text/event-stream`, events until it has ended.

    Each event `log` holds a piece of the output, its id is the offset at which to go on; the last event, `end`, holds
    the task as it ended.
    """
    follow = query.follow == "1" or MEDIA_TYPE in request.headers.get("Accept", "")
    offset = _last_event_id() if follow and "Last-Event-ID" in request.headers else query.offset
    content_type = MEDIA_TYPE if follow else "text/plain; charset=utf-8"
    if request.method == "HEAD":
        caller().coordinator(lambda coordinator, left: coordinator.get_task(path.task_id, deadline=left))
        return Response(content_type=content_type)
    stream = OpenLog(path.task_id, offset, follow=follow)
    response = Response(stream.events() if follow else stream.text(), content_type=content_type)
    response.call_on_close(stream.close)
    return response


class OpenLog:
    """A log that is being sent; to be closed once, whether it was sent to its end or the client left."""

    def __init__(self, task_id: str, offset: int, *, follow: bool) -> None:
        """Waits for a first piece or a first tick, so that a refusal is an answer of its own. Raises QuantumError."""
        self._offset = offset
        self._drain = gateway().drain
        self._slots = gateway().slots
        self._slots.take()
        self._closed = False
        self._chunks = caller().stream(lambda coordinator: coordinator.read_log(task_id, offset=offset, follow=follow))
        try:
            self._first = self._next_piece() if not follow else next(self._chunks, None)
        except BaseException:
            self.close()
            raise

    def text(self) -> Iterator[bytes]:
        """The pieces as they are."""
        piece = self._first
        while piece is not None:
            yield piece.data
            piece = self._next_piece()

    def events(self) -> Iterator[str]:
        """The pieces as events; the last one is `end` with the task, or `problem`. None of both: come back."""
        yield COME_BACK
        try:
            yield from self._log_events()
        except QuantumError as error:
            yield json_event("problem", problem.document(error))

    def close(self) -> None:
        """Ends the stream behind this and makes room for another."""
        if not self._closed:
            self._closed = True
            self._slots.give_back()
            self._chunks.close()

    def _log_events(self) -> Iterator[str]:
        output = OutputEvents()
        for number, chunk in enumerate(itertools.chain([self._first], self._chunks), start=1):
            if self._drain.begun:
                return
            if chunk is None:
                if number % _TICKS_PER_SIGN == 0:
                    yield SIGN_OF_LIFE
                continue
            yield output.event(chunk.data, chunk.offset)
            if chunk.ended is not None:
                yield output.rest(chunk.offset)
                yield json_event("end", {"task": convert.task(chunk.ended).model_dump(mode="json")})

    def _next_piece(self) -> LogChunk | None:
        """The next piece, None at the end; passes over the ticks."""
        return next((chunk for chunk in self._chunks if chunk is not None), None)


def _last_event_id() -> int:
    text = request.headers["Last-Event-ID"]
    if _EVENT_ID.fullmatch(text) is None:
        raise Invalid("bad_last_event_id", "The Last-Event-ID is not one of this stream's.")
    return int(text)
