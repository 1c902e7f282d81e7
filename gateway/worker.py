"""The process that serves: it alone loads grpc, keeps the channels and runs the loop of the calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from foundation.log import configure
from foundation.workspace import Workspace
from gateway.settings import GatewaySettings

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


def load_application(workspace: Workspace, settings: GatewaySettings, port: int, parent: int, debug: bool) -> WsgiApp:
    """The application of this process; called once, in its main thread, by the server."""
    from foundation.clock import SystemClock
    from foundation.ids import random_bytes
    from gateway.access_log import AccessLog
    from gateway.app import create_app
    from gateway.attempts import FailedAttempts
    from gateway.draining import Drain, begin_on_signal, stop_with_parent
    from gateway.services import Services
    from gateway.sessions import Sessions
    from gateway.state import Gateway
    from gateway.streams import StreamSlots

    configure("gateway", system_log=workspace.system_log, debug=debug)
    # The server hands our environment to WSGI, where HTTP_TIMEOUT=30 would read as a request's header "Timeout: 30".
    for name in [name for name in os.environ if name.startswith("HTTP_")]:
        del os.environ[name]
    clock, drain = SystemClock(), Drain()
    begin_on_signal(drain)
    stop_with_parent(parent, drain)
    state = Gateway(
        settings=settings,
        port=port,
        clock=clock,
        services=Services(workspace, channels=settings.connection_pool, deadline=settings.deadline, clock=clock),
        drain=drain,
        sessions=Sessions(random_bytes),
        attempts=FailedAttempts(),
        access_log=AccessLog(
            workspace.logs / "access.log",
            bytes_max=settings.access_log_bytes_max,
            files_max=settings.access_log_files_max,
        ),
        slots=StreamSlots(settings.streams_max),
    )
    app: WsgiApp = create_app(state).wsgi_app
    return app
