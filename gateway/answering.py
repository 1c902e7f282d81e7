"""How a route hands its answer over."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel

from foundation.errors import Invalid
from gateway.schemas.documented import TOKEN_SECURITY


def area(name: str) -> APIBlueprint:
    """The routes of one area; each needs a token unless it says otherwise."""
    return APIBlueprint(name, __name__, abp_security=TOKEN_SECURITY)


def reply(shape: BaseModel, status: int = 200, **headers: str) -> Response:
    """A JSON answer; `Retry_After="2"` becomes the header Retry-After."""
    response = Response(shape.model_dump_json(), status=status, content_type="application/json")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def header_parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A header that a route looks at, for the OpenAPI document."""
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


_KEY = re.compile(r"[!-~]{1,200}")
KEY_PARAMETER = header_parameter(
    "Idempotency-Key",
    "The same key with the same body gives the same tasks for 7 days; with another body, 409.",
    {"type": "string", "pattern": "^[!-~]{1,200}$"},
)


def idempotency_key() -> str:
    """The key of the request that is being answered, empty without one. Raises Invalid."""
    key = request.headers.get("Idempotency-Key", "")
    if key and _KEY.fullmatch(key) is None:
        raise Invalid("bad_idempotency_key", "The Idempotency-Key is not 1 to 200 visible ASCII characters.")
    return key
