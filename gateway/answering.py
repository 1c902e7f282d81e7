"""How a route hands its answer over."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel

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
