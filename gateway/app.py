"""Puts the gateway together: the checks, the routes, the form of every error, the access log."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from flask import Request, Response, g, request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from pydantic import ValidationError

from foundation.errors import Exhausted, FieldFault, Invalid, TimedOut, Unavailable
from foundation.ids import SystemIds
from foundation.log import get_logger
from gateway import problem, security
from gateway.routes import (
    agents,
    alerts,
    audit,
    breakers,
    budgets,
    document,
    health,
    log,
    merges,
    metrics,
    mode,
    page,
    queue,
    reports,
    runners,
    schedules,
    spend,
    tasks,
)
from gateway.schemas.answers import Problem
from gateway.schemas.documented import SECURITY_SCHEMES
from gateway.state import Gateway, gateway, require_good_token

_TAGS = {"one", "many"}
"""Names of the two forms of a submission, which pydantic puts into the path of a fault."""


def create_app(state: Gateway) -> OpenAPI:
    """The application, ready to serve."""
    app = OpenAPI(
        "gateway",
        info=Info(
            title="Quantum",
            version="1.0.0",
            description="Runs a fleet of automation and AI-agent scripts, and keeps that safe.",
        ),
        security_schemes=SECURITY_SCHEMES,
        validation_error_status=400,
        validation_error_model=Problem,
        validation_error_callback=refuse,
        doc_ui=False,
        static_folder=None,
    )
    app.config.update(MAX_CONTENT_LENGTH=state.settings.gateway_body_bytes_max, PROVIDE_AUTOMATIC_OPTIONS=False)
    # One address, one answer: no redirects from what is nearly one.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    with app.app_context():
        state.install()
    app.before_request(_begin)
    security.install(app)
    problem.install(app, log=get_logger("gateway"), ids=SystemIds(state.clock))
    rooms = (
        *(tasks, log, agents, health, reports, metrics, queue, runners, schedules, document),
        *(mode, breakers, budgets, spend, alerts, audit, merges),
    )
    for room in rooms:
        app.register_api(room.routes)
    app.register_blueprint(page.routes)
    app.after_request(_slow_down_guessing)
    app.after_request(_harden)
    app.after_request(_write_down)
    return app


def refuse(error: ValidationError) -> Response:
    """Refuses what has not the shape that it should have; raises Invalid with every fault.

    Who has no good token hears that alone: what a request should look like is no business of theirs.
    """
    with suppress(Unavailable, TimedOut):  # then nobody can tell, and the faults are there all the same
        require_good_token()
    faults = [FieldFault(_path(fault["loc"]), _sentence(fault["msg"])) for fault in error.errors(include_url=False)]
    what = "One part of the request is" if len(faults) == 1 else f"{len(faults)} parts of the request are"
    raise Invalid(
        "bad_request", f"{what} not right.", remedy="GET /openapi.json says what each should be.", fields=faults[:100]
    )


def _path(location: tuple[int | str, ...]) -> str:
    """("many", "tasks", 3, "params") → tasks[3].params"""
    parts = location[1:] if location and location[0] in _TAGS else location
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path[:200] or "body"


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ").replace("a valid dictionary", "an object")
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _begin() -> None:
    g.began_at = gateway().clock.boottime()


def _slow_down_guessing(response: Response) -> Response:
    """Counts a token that was shown and is not good; answers 429 in place of 401 when there were too many."""
    if response.status_code != 401 or security.TOKEN_HEADER not in request.headers:
        return response
    wait = gateway().attempts.record(request.remote_addr or "?", at=gateway().clock.boottime())
    if wait is None:
        return response
    return problem.answer(
        Exhausted(
            "too_many_failed_attempts",
            "Too many tokens that are not good were shown; a good one is still taken at once.",
            remedy="quantum token show prints yours.",
            retry_after=wait,
        )
    )


def _harden(response: Response) -> Response:
    """Headers for the browser that may sit at the other end."""
    headers = response.headers
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cache-Control"] = "no-store"
    # Not no-referrer: with that, a browser sends our own form with "Origin: null".
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    return response


def _write_down(response: Response) -> Response:
    """Adds the request to the access log: at once, or, for a stream, when it has ended."""
    line = _AccessLine(request)
    if response.is_streamed:
        response.call_on_close(lambda: line.write(response.status_code))
    else:
        line.write(response.status_code)
    return response


class _AccessLine:
    """What the access log says of a request, taken while the request is open."""

    def __init__(self, request: Request) -> None:
        self._gateway = gateway()
        self._began_at: float = g.began_at
        self._caller = g.get("caller")
        self._token_id: str | None = g.get("token_id")
        self._source = request.remote_addr or "?"
        self._method, self._path = request.method, request.path
        self._route = request.url_rule.rule if request.url_rule else None

    def write(self, status: int) -> None:
        clock = self._gateway.clock
        verified = self._caller is not None and self._caller.verified
        self._gateway.access_log.write(
            at=clock.now(),
            who=self._token_id if verified else None,
            source=self._source,
            method=self._method,
            path=self._path,
            route=self._route,
            status=status,
            took=timedelta(seconds=clock.boottime() - self._began_at),
        )
