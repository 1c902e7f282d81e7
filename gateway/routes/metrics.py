"""The figures: as JSON for dashboards, as text for Prometheus."""

from __future__ import annotations

from flask import Response

from gateway.answering import area, reply
from gateway.figures import dashboard, gather
from gateway.schemas import answers
from gateway.schemas.documented import answers as documented

routes = area("metrics")

_TEXT = {
    "description": "The text format of Prometheus.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


@routes.get("/metrics/dashboard", responses=documented({200: answers.Dashboard}))
def metrics_dashboard() -> Response:
    """The figures behind the dashboard; one that is not known is null, and `unknown` says why."""
    return reply(dashboard(gather()))


@routes.get("/metrics", responses=documented({200: _TEXT}))
def metrics() -> Response:
    """The figures for Prometheus, read at this moment; what is not known is left out."""
    from gateway.prometheus import CONTENT_TYPE, exposition  # 5 MB that most gateways never need

    return Response(exposition(gather()), content_type=CONTENT_TYPE)
