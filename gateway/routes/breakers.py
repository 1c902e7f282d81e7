"""Circuit breakers: see them, hold one open, reset one."""

from __future__ import annotations

from flask import Response

from foundation.quantities import parse_duration
from gateway import convert
from gateway.answering import area, reply
from gateway.schemas import answers
from gateway.schemas.documented import answers as documented
from gateway.schemas.requests import BreakerQuery, ForceClosed, ScopePath, Why
from gateway.state import caller

routes = area("breakers")


@routes.get("/breakers", responses=documented({200: answers.Breakers}))
def list_breakers(query: BreakerQuery) -> Response:
    """Every breaker with its history, or those that hold something."""
    not_closed = query.not_closed == "1"
    breakers = caller().safety(lambda safety, left: safety.list_breakers(not_closed=not_closed, deadline=left))
    return reply(answers.Breakers(breakers=[convert.breaker(breaker) for breaker in breakers]))


@routes.post("/breakers/<scope>/force-open", responses=documented({200: answers.OneBreaker}, 404, 409, 415))
def force_open(path: ScopePath, body: Why) -> Response:
    """Holds a scope until it is reset, also over restarts."""
    breaker = caller().safety(lambda safety, left: safety.force_open(path.scope, reason=body.reason, deadline=left))
    return reply(answers.OneBreaker(breaker=convert.breaker(breaker)))


@routes.post("/breakers/<scope>/force-closed", responses=documented({200: answers.OneBreaker}, 404, 409, 415))
def force_closed(path: ScopePath, body: ForceClosed) -> Response:
    """Lets a scope through for a stated time, whatever it counts."""
    lasting = parse_duration(body.lasting)
    breaker = caller().safety(
        lambda safety, left: safety.force_closed(path.scope, lasting=lasting, reason=body.reason, deadline=left)
    )
    return reply(answers.OneBreaker(breaker=convert.breaker(breaker)))


@routes.post("/breakers/<scope>/reset", responses=documented({200: answers.OneBreaker}, 404, 409, 415))
def reset(path: ScopePath, body: Why) -> Response:
    """Closes a breaker and forgets what it had counted."""
    breaker = caller().safety(lambda safety, left: safety.reset_breaker(path.scope, reason=body.reason, deadline=left))
    return reply(answers.OneBreaker(breaker=convert.breaker(breaker)))
