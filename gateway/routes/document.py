"""The OpenAPI document."""

from __future__ import annotations

import json
from typing import cast

from flask import Response, current_app
from flask_openapi3.openapi import OpenAPI

from foundation.errors import Kind, QuantumError
from gateway.answering import area
from gateway.schemas.documented import answers as documented
from gateway.state import caller

routes = area("document")

_DOCUMENT = {
    "description": "An OpenAPI 3.1 document.",
    "content": {"application/json": {"schema": {"type": "object", "required": ["openapi", "paths"]}}},
}


@routes.get("/openapi.json", responses=documented({200: _DOCUMENT}))
def openapi() -> Response:
    """This document."""
    _require_good_token()
    document = cast(OpenAPI, current_app).api_doc
    return Response(json.dumps(document), content_type="application/json")


def _require_good_token() -> None:
    """Any good token will do, whatever it is good for; only the services can tell."""
    try:
        caller().coordinator(lambda coordinator, left: coordinator.list_projects(deadline=left))
    except QuantumError as error:
        if error.kind is not Kind.DENIED:
            raise
