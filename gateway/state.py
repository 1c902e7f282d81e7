"""What one gateway process has, and what one request has of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from flask import current_app, g, request

from foundation.clock import Clock
from foundation.errors import Kind, QuantumError, Unauthenticated
from gateway.access_log import AccessLog
from gateway.address import Address
from gateway.attempts import FailedAttempts
from gateway.bodies import Bodies
from gateway.draining import Drain
from gateway.services import CallerServices, Services
from gateway.sessions import Sessions
from gateway.settings import GatewaySettings
from gateway.streams import StreamSlots

T = TypeVar("T")

_KEY = "quantum_gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The parts that the routes share."""

    settings: GatewaySettings
    address: Address
    clock: Clock
    services: Services
    drain: Drain
    sessions: Sessions
    attempts: FailedAttempts
    bodies: Bodies
    access_log: AccessLog
    slots: StreamSlots

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self.address.port

    def install(self) -> None:
        """Puts this into the application whose context is open."""
        current_app.extensions[_KEY] = self


def gateway() -> Gateway:
    """The gateway that answers the present request."""
    return cast(Gateway, current_app.extensions[_KEY])


def act_for(token: str) -> CallerServices:
    """The services in the name of a token, from here to the end of the request."""
    route = request.url_rule.rule if request.url_rule else request.path
    g.caller = gateway().services.as_caller(token, source=f"{request.method} {route} from {request.remote_addr or '?'}")
    return caller()


def caller() -> CallerServices:
    """The services in the name of whoever sent the request."""
    services = g.get("caller")
    if services is None:
        raise Unauthenticated("token_missing", "This needs a token.")
    return cast(CallerServices, services)


def require_good_token() -> None:
    """Raise Unauthenticated unless the token is good, whatever it is good for; only the services can tell."""
    try:
        caller().coordinator(lambda coordinator, left: coordinator.list_projects(deadline=left))
    except QuantumError as error:
        if error.kind is not Kind.DENIED:
            raise


def unless_out_of_reach(ask: Callable[[], T]) -> T | QuantumError:
    """What is answered, or the error with which the figure stays unknown; what concerns the token is raised."""
    try:
        return ask()
    except QuantumError as error:
        if error.kind in (Kind.UNAUTHENTICATED, Kind.DENIED):
            raise
        return error
