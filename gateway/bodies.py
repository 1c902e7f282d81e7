"""Takes the bodies of requests from callers who may be slow, silent, or announce more than they send.

The server hands a body over by a read that waits for as long as the caller keeps the connection open. So a refusal
never waits for the body, and few threads ever wait for one.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import IO

from flask import Request, Response, after_this_request
from werkzeug.exceptions import RequestEntityTooLarge

from foundation.errors import Exhausted
from gateway.settings import THREADS_KEPT_FREE

AWAITED_MAX = THREADS_KEPT_FREE // 2
"""Bodies that are waited for at the same time; one that is there already has its place for less than a millisecond."""
_PATIENCE = timedelta(milliseconds=500)
_PIECE_BYTES = 256 * 1024
_THROWN_AWAY_BYTES_MAX = 32 * 1024 * 1024


class Bodies:
    """Reads bodies of at most `bytes_max`."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._places = threading.Semaphore(AWAITED_MAX)

    def expect(self, request: Request) -> None:
        """To be called before anything else is looked at; raises RequestEntityTooLarge (413) for a body whose stated
        length is over the limit.

        Most clients look for an answer only when they have sent everything: what nobody has read is thrown away behind
        the answer. Not from one that announces more than it will ever get rid of.
        """
        length = request.content_length or 0
        if _announced(request) and length <= _THROWN_AWAY_BYTES_MAX:
            source: IO[bytes] = request.environ["wsgi.input"]

            @after_this_request
            def throw_away(response: Response) -> Response:
                response.call_on_close(lambda: self._throw_away(source))
                return response

        if length > self._bytes_max:
            raise RequestEntityTooLarge

    def take(self, request: Request) -> bytes:
        """The body. Raises RequestEntityTooLarge (413) for one of unstated length that is too large, Exhausted (429)
        while too many others have not come."""
        if not _announced(request):
            return b""
        if not self._places.acquire(timeout=_PATIENCE.total_seconds()):
            raise Exhausted(
                "too_many_slow_bodies",
                f"{AWAITED_MAX} requests have announced a body that does not come.",
                remedy="Try again; send as many bytes as Content-Length says.",
                retry_after=timedelta(seconds=1),
            )
        try:
            body = request.get_data()
        finally:
            self._places.release()
        if request.content_length is None and len(body) >= self._bytes_max:
            raise RequestEntityTooLarge  # of a body without a stated length, the rest was cut off
        return body

    def _throw_away(self, source: IO[bytes]) -> None:
        if not self._places.acquire(blocking=False):
            return
        try:
            for _ in range(_THROWN_AWAY_BYTES_MAX // _PIECE_BYTES):
                if not source.read(_PIECE_BYTES):
                    return
        finally:
            self._places.release()


def _announced(request: Request) -> bool:
    return bool(request.content_length) or "HTTP_TRANSFER_ENCODING" in request.environ
