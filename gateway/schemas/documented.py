"""What each route may answer, as the OpenAPI document says it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from gateway.problem import MEDIA_TYPE

TEXT = {"text/plain": {"schema": {"type": "string"}}}
"""Also what every problem is for a caller whose `Accept` is text/plain and nothing else: its sentence."""
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}, **TEXT}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_WAIT = (429, 503, 504, 507)
_ALWAYS = (400, 401, 403, 413, 421, 429, 500, 501, 503, 504, 507)

TOKEN_SECURITY: list[dict[str, list[Any]]] = [{"token": []}]
OPTIONAL_TOKEN_SECURITY: list[dict[str, list[Any]]] = [{}, {"token": []}]
SECURITY_SCHEMES: dict[str, Any] = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "`quantum token show` prints yours.",
    }
}


def answers(success: dict[int, type[BaseModel] | dict[str, Any]], *problems: int) -> dict[Any, Any]:
    """The answers of a route: those of success, the problems that every route may give, and those named."""
    documented: dict[str, Any] = {str(status): _problem(status) for status in sorted({*_ALWAYS, *problems})}
    return documented | {str(status): shape for status, shape in success.items()}


def _problem(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase, "content": _PROBLEM}
    return answer | ({"headers": _RETRY_AFTER} if status in _WAIT else {})
