"""The one place where an error becomes an HTTP answer: application/problem+json, as RFC 9457 has it."""

from __future__ import annotations

import json
import math
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from foundation.errors import Internal, Kind, QuantumError
from foundation.ids import Ids
from foundation.log import Logger

MEDIA_TYPE = "application/problem+json"

STATUSES: dict[Kind, HTTPStatus] = {
    Kind.INVALID: HTTPStatus.BAD_REQUEST,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.STALE: HTTPStatus.CONFLICT,
    Kind.EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    Kind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Kind.DENIED: HTTPStatus.FORBIDDEN,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    Kind.CANCELLED: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.UNSUPPORTED: HTTPStatus.NOT_IMPLEMENTED,
    Kind.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_NO_ROOM = frozenset({"disk_low", "disk_full"})
"""Codes for which HTTP has a status of its own, 507: it is not the caller who asks too much."""

RETRY_AFTER_SECONDS = {
    HTTPStatus.TOO_MANY_REQUESTS: 5,
    HTTPStatus.INSUFFICIENT_STORAGE: 30,
    HTTPStatus.SERVICE_UNAVAILABLE: 2,
    HTTPStatus.GATEWAY_TIMEOUT: 5,
}
"""Answers that always say when to come back, and when that is if the error itself does not know."""

GET_TOKEN = 'curl -H "X-Auth-Token: $(quantum token show)" http://localhost:{port}{path}'

# What werkzeug finds before a route does: our own words for it, and a stable code.
_HTTP_WORDS: dict[int, tuple[str, str, str]] = {
    400: ("bad_request", "The request cannot be read.", ""),
    404: ("no_such_route", "There is nothing under this address.", "GET /openapi.json lists what there is."),
    405: ("method_not_allowed", "This address does not take that method.", "The Allow header lists those it takes."),
    413: ("body_too_large", "The body is larger than what is taken.", "Send fewer tasks in one request."),
    415: ("not_json", "Only JSON is taken.", "Send the header Content-Type: application/json."),
}


class ProblemStatus(QuantumError):
    """An error for which HTTP has a word of its own that our kinds do not have: 413, 415, 421."""

    kind = Kind.INVALID

    def __init__(self, status: HTTPStatus, code: str, message: str, *, remedy: str = "") -> None:
        super().__init__(code, message, remedy=remedy)
        self.status = status


def status_of(error: QuantumError) -> HTTPStatus:
    """The HTTP status that stands for an error."""
    if error.code in _NO_ROOM:
        return HTTPStatus.INSUFFICIENT_STORAGE
    return error.status if isinstance(error, ProblemStatus) else STATUSES[error.kind]


def document(error: QuantumError) -> dict[str, object]:
    """The problem document that stands for an error."""
    status = status_of(error)
    body: dict[str, object] = {
        "type": f"urn:quantum:problem:{error.code}",
        "title": status.phrase,
        "status": status.value,
        "code": error.code,
        "detail": error.message,
        "remedy": error.remedy or None,
    }
    if error.fields:
        body["fields"] = [{"path": fault.path, "message": fault.message} for fault in error.fields]
    return body


def wants_text() -> bool:
    """Whether the present request asks for plain text and nothing else, as git hooks do, which can read no JSON."""
    return request.headers.get("Accept", "").strip() == "text/plain"


def answer(error: QuantumError) -> Response:
    """The HTTP answer that stands for an error: a problem document, or its sentence for whoever wants text alone."""
    status = status_of(error)
    if wants_text():
        response = Response(f"{error.message}\n", status=status.value, content_type="text/plain; charset=utf-8")
    else:
        response = Response(json.dumps(document(error)), status=status.value, content_type=MEDIA_TYPE)
    if status in RETRY_AFTER_SECONDS or error.retry_after is not None:
        wait = error.retry_after.total_seconds() if error.retry_after else RETRY_AFTER_SECONDS.get(status, 1)
        response.headers["Retry-After"] = str(max(1, math.ceil(wait)))
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'X-Auth-Token realm="quantum"'
    return response


def install(app: Flask, *, log: Logger, ids: Ids) -> None:
    """Makes every failure of the application a problem document; a traceback goes to the log alone."""

    def on_error(error: QuantumError) -> Response:
        return answer(error)

    def on_http_error(error: HTTPException) -> Response:
        code, sentence, remedy = _HTTP_WORDS.get(
            error.code or 500, (f"http_{error.code}", error.description or error.name, "")
        )
        response = answer(ProblemStatus(HTTPStatus(error.code or 500), code, sentence, remedy=remedy))
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    def on_fault(error: Exception) -> Response:
        incident = ids.new()
        log.exception("A request failed by a fault of ours.", action="request_fault", error=error, incident=incident)
        return answer(
            Internal(
                "internal",
                "This failed by a fault of ours, which was written down.",
                remedy=f"Look for incident {incident} in logs/system.log.",
            )
        )

    app.register_error_handler(QuantumError, on_error)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(Exception, on_fault)
