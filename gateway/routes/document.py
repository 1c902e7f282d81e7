"""The OpenAPI document."""

from __future__ import annotations

import json
from typing import cast

from flask import Response, current_app
from flask_openapi3.openapi import OpenAPI

from gateway.answering import area
from gateway.schemas.documented import answers as documented
from gateway.state import require_good_token

routes = area("document")

_DOCUMENT = {
    "description": "An OpenAPI 3.1 document.",
    "content": {"application/json": {"schema": {"type": "object", "required": ["openapi", "paths"]}}},
}


@routes.get("/openapi.json", responses=documented({200: _DOCUMENT}))
def openapi() -> Response:
    """This document."""
    require_good_token()
    document = cast(OpenAPI, current_app).api_doc
    return Response(json.dumps(document), content_type="application/json")
