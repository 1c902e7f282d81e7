"""Puts a gateway's parts together for one workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from foundation.clock import SystemClock
from foundation.ids import random_bytes
from foundation.workspace import Workspace
from gateway.access_log import AccessLog
from gateway.address import Address
from gateway.app import create_app
from gateway.attempts import FailedAttempts
from gateway.bodies import Bodies
from gateway.draining import Drain
from gateway.services import Services
from gateway.sessions import Sessions
from gateway.settings import GatewaySettings
from gateway.state import Gateway
from gateway.streams import StreamSlots

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


def wire(workspace: Workspace, settings: GatewaySettings, *, address: Address, drain: Drain) -> WsgiApp:
    """The application, its channels and its loop; to be called once per process."""
    clock = SystemClock()
    state = Gateway(
        settings=settings,
        address=address,
        clock=clock,
        services=Services(workspace, channels=settings.connection_pool, deadline=settings.deadline, clock=clock),
        drain=drain,
        sessions=Sessions(random_bytes),
        attempts=FailedAttempts(),
        bodies=Bodies(settings.gateway_body_bytes_max),
        access_log=AccessLog(
            workspace.logs / "access.log",
            bytes_max=settings.access_log_bytes_max,
            files_max=settings.access_log_files_max,
        ),
        slots=StreamSlots(settings.streams_max),
    )
    app: WsgiApp = create_app(state).wsgi_app
    return app
