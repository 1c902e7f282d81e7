"""What a request must be before a route sees it: from this machine's own pages, small, JSON, with a token."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from urllib.parse import urlsplit

from flask import Flask, Request, g, request
from werkzeug.exceptions import BadRequest

from foundation.errors import Denied, Invalid, Unauthenticated
from foundation.tokens import parse
from gateway.address import Address
from gateway.problem import GET_TOKEN, ProblemStatus
from gateway.state import act_for, gateway

TOKEN_HEADER = "X-Auth-Token"
PLACEHOLDER = "your-token"
_OWN_PAGES = ("", "none", "same-origin")
_WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")

FORM_ENDPOINTS = frozenset({"page.sign_in", "page.sign_out"})
"""They take a form instead of JSON, and check the form's key instead of a token."""
OPEN_ENDPOINTS = FORM_ENDPOINTS | {"page.status", "health.health"}
"""They look for a token themselves, because they have something to say without one."""


def install(app: Flask) -> None:
    """Puts the checks before every route, also before the answer that there is none."""

    @app.before_request
    def check() -> None:
        require_own_host(request, gateway().address)
        refuse_foreign_pages(request, gateway().address)
        has_body, bodies = request.method in _WITH_BODY, gateway().bodies
        if has_body:
            # Before the token is looked at: too large is too large from anybody.
            bodies.expect(request)
        token = request.headers.get(TOKEN_HEADER)
        if token is not None or request.endpoint not in OPEN_ENDPOINTS:
            act_for(require_token(token, request.path))
        if has_body:
            body = bodies.take(request)
            if request.endpoint not in FORM_ENDPOINTS:
                require_json_object(request, body)


def require_own_host(request: Request, address: Address) -> None:
    """Refuses what was addressed to another name (421): a page that has its name point here gets no further."""
    host = request.environ.get("HTTP_HOST", "").lower()
    if host not in address.hosts:
        raise ProblemStatus(
            HTTPStatus.MISDIRECTED_REQUEST,
            "wrong_host",
            "The Host header does not name this gateway by a name that it has.",
            remedy=f"Use {address.scheme}://{address.hosts[0]}.",
        )


def refuse_foreign_pages(request: Request, address: Address) -> None:
    """Refuses what a page from elsewhere had the browser send (403)."""
    origin, referer = request.headers.get("Origin"), request.headers.get("Referer")
    foreign_origin = origin is not None and origin.lower() not in address.origins
    foreign_referer = referer is not None and not _is_own(referer, address.origins)
    if foreign_origin or foreign_referer or request.headers.get("Sec-Fetch-Site", "").lower() not in _OWN_PAGES:
        raise Denied("foreign_page", "A page from elsewhere may not send requests here.")


def require_json_object(request: Request, body: bytes) -> None:
    """Refuses a body that is not sent as JSON (415) or is not one JSON object (400); no body at all passes."""
    if not body:
        return
    if request.mimetype != "application/json":
        raise ProblemStatus(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "Only JSON is taken.",
            remedy="Send the header Content-Type: application/json.",
        )
    try:
        document = request.get_json()  # kept by the request, so that it is read once
        # A text with half a surrogate pair is JSON and can be written nowhere.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (BadRequest, ValueError, RecursionError):
        raise Invalid("bad_json", "The body is not JSON that can be read.") from None
    if not isinstance(document, dict):
        raise Invalid(
            "not_an_object", "The body is JSON, but not an object.", remedy='Send one like {"agent": "hello"}.'
        )


def require_token(token: str | None, path: str) -> str:
    """The token of a request, if it has the form of one; whether it is good, the services tell.

    Raises Unauthenticated, with the line that gets a good one.
    """
    # The line is to be typed into a shell: no other character of the caller's gets into it.
    shown = path if re.fullmatch(r"[A-Za-z0-9/_.-]{1,100}", path) else "/health"
    remedy = GET_TOKEN.format(port=gateway().port, path=shown)
    if not token:
        raise Unauthenticated("token_missing", f"This needs a token in the header {TOKEN_HEADER}.", remedy=remedy)
    if token == PLACEHOLDER:
        raise Unauthenticated(
            "token_placeholder",
            f"'{PLACEHOLDER}' is the runbook's placeholder; `quantum token show` prints your own token.",
            remedy=remedy,
        )
    try:
        g.token_id = parse(token).id
    except Unauthenticated as error:
        raise Unauthenticated(error.code, error.message, remedy=remedy) from None
    return token


def _is_own(referer: str, origins: frozenset[str]) -> bool:
    try:
        parts = urlsplit(referer)
    except ValueError:
        return False
    return f"{parts.scheme}://{parts.netloc.lower()}" in origins
