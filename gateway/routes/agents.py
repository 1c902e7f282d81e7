"""Agents: how each stands."""

from __future__ import annotations

from flask import Response

from gateway import convert
from gateway.answering import area, reply
from gateway.schemas import answers
from gateway.schemas.documented import answers as documented
from gateway.state import caller

routes = area("agents")


@routes.get("/agents/status", responses=documented({200: answers.Agents}))
def agents_status() -> Response:
    """Every agent: its state, last and current tasks, success rate, predicted failure, breaker, restarts."""
    agents = caller().coordinator(lambda coordinator, left: coordinator.list_agents(deadline=left))
    return reply(convert.agents(agents))
