"""The status page for people, and the form by which a browser, which cannot send headers, shows its token."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request

from clients.coordinator_values import TaskPage
from foundation.errors import QuantumError, Unauthenticated
from foundation.ids import random_bytes
from gateway.figures import gather
from gateway.problem import status_of
from gateway.security import TOKEN_HEADER, require_token
from gateway.sessions import LIFETIME, Session, same
from gateway.state import act_for, caller, gateway, unless_out_of_reach

routes = Blueprint("page", __name__)

SESSION_COOKIE = "quantum_session"
FORM_COOKIE = "quantum_form"
_RECENT_TASKS = 20
_RECENT_MERGES = 5
_REFRESH_SECONDS = 5


@routes.get("/")
def status() -> Response:
    """The status page; without a token the form that asks for one, or a problem where HTML is not wanted."""
    if TOKEN_HEADER in request.headers:
        return _status_page(None)
    session = _session()
    if session is None:
        if not request.accept_mimetypes.accept_html or "text/html" not in request.headers.get("Accept", ""):
            require_token(None, "/health")
        return _form("", 401)
    try:
        act_for(session.token)
        return _status_page(session)
    except Unauthenticated:
        gateway().sessions.close(request.cookies.get(SESSION_COOKIE, ""))
        return _form("The token is no longer good; give the present one.", 401)


@routes.post("/session")
def sign_in() -> Response:
    """Begins a session with the token from the form, if it is a good one."""
    token = request.form.get("token", "").strip()
    if not same(request.form.get("form_key", ""), request.cookies.get(FORM_COOKIE, "")):
        return _form("The form was too old; give the token again.", 403)
    try:
        act_for(require_token(token, "/health"))
        caller().coordinator(lambda coordinator, left: coordinator.queue_stats(deadline=left))
    except QuantumError as error:
        return _form(error.message, status_of(error).value)
    response = _redirected()
    name = gateway().sessions.open(token, at=gateway().clock.boottime())
    _set_cookie(response, SESSION_COOKIE, name, int(LIFETIME.total_seconds()))
    response.delete_cookie(FORM_COOKIE, path="/", httponly=True, samesite="Strict")
    return response


@routes.post("/session/end")
def sign_out() -> Response:
    """Ends the session."""
    session = _session()
    if session is not None:
        if not same(request.form.get("form_key", ""), session.form_key):
            return _form("The form was too old.", 403)
        gateway().sessions.close(request.cookies.get(SESSION_COOKIE, ""))
    response = _redirected()
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="Strict")
    return response


def _status_page(session: Session | None) -> Response:
    figures, page, alerts, merges = None, None, None, None
    problem: QuantumError | None = None
    try:
        figures = gather()
        page = caller().coordinator(
            lambda coordinator, left: coordinator.list_tasks(limit=_RECENT_TASKS, deadline=left)
        )
        alerts = unless_out_of_reach(lambda: caller().safety(lambda safety, left: safety.alerts.list(deadline=left)))
        merges = unless_out_of_reach(
            lambda: caller().coordinator(
                lambda coordinator, left: coordinator.merges.list(limit=_RECENT_MERGES, deadline=left)
            )
        )
    except Unauthenticated:
        raise
    except QuantumError as error:
        problem = error
    return _html(
        "status.html",
        200 if problem is None else status_of(problem).value,
        figures=figures,
        tasks=page.tasks if isinstance(page, TaskPage) else (),
        alerts=alerts,
        merges=merges,
        problem=problem,
        now=gateway().clock.now(),
        is_error=lambda value: isinstance(value, QuantumError),
        form_key=session.form_key if session else None,
        refresh_seconds=_REFRESH_SECONDS,
    )


def _form(message: str, code: int) -> Response:
    key = gateway().sessions.new_key()
    response = _html("sign_in.html", code, message=message, form_key=key)
    _set_cookie(response, FORM_COOKIE, key, None)
    return response


def _html(template: str, code: int, **values: object) -> Response:
    nonce = random_bytes(16).hex()
    response = make_response(render_template(template, nonce=nonce, **values), code)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return response


def _session() -> Session | None:
    name = request.cookies.get(SESSION_COOKIE, "")
    return gateway().sessions.find(name, at=gateway().clock.boottime()) if name else None


def _redirected() -> Response:
    return make_response(redirect("/", code=303))


def _set_cookie(response: Response, name: str, value: str, age_seconds: int | None) -> None:
    # Over TLS never again without it: whoever makes the browser ask by plain HTTP would read it on the way.
    secure = gateway().address.tls
    response.set_cookie(name, value, max_age=age_seconds, path="/", secure=secure, httponly=True, samesite="Strict")
