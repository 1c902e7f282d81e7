"""The HTTP server: granian, in this one process."""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from granian.constants import Interfaces, Loops, SSLProtocols
from granian.log import LogLevels
from granian.server.mt import MTServer

from foundation import notify
from foundation.errors import Internal, QuantumError
from foundation.handshake import prove_no_tls_1_2
from foundation.identity import IdentityFile
from gateway.address import Address
from gateway.draining import Drain
from gateway.settings import GatewaySettings
from gateway.wiring import WsgiApp

_KNOCK = timedelta(milliseconds=20)


class Server(MTServer):
    """Serves from threads of this process.

    granian's usual form forks a worker from a parent that only waits: 32 MB more, and an orphan on the port when the
    parent is killed. This form is made for Pythons without the global lock; with it it serves as well, for the threads
    that answer requests wait for the services most of their time.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        address: Address,
        identity: IdentityFile | None,
        *,
        drain: Drain,
        listening: Callable[[], None],
    ) -> None:
        """`listening` is called, in a thread of its own, once a connection has been taken.

        `identity` is there beyond loopback; it is read once, so that a renewed one counts from the next start.
        """
        pem = identity.path if identity is not None else None
        super().__init__(
            "gateway",
            address=address.host,
            port=address.port,
            ssl_cert=pem,
            ssl_key=pem,
            ssl_protocol_min=SSLProtocols.tls13,
            interface=Interfaces.WSGI,
            workers=1,
            blocking_threads=settings.gateway_threads,
            loop=Loops.asyncio,
            websockets=False,
            log_level=LogLevels.error,
            workers_kill_timeout=math.ceil(settings.gateway_drain_seconds),
        )
        self._near = (address.near, address.port)
        self._pem = pem
        self.fault: QuantumError | None = None
        """Why it ended by itself."""
        self._drain = drain
        self._listening = listening
        self.on_startup(lambda: threading.Thread(target=self._announce, name="announce", daemon=True).start())

    def run(self, app: WsgiApp) -> None:
        """Serves until SIGTERM or SIGINT, then until the open requests have ended, at most the drain's time."""
        # The server hands our environment to WSGI, where HTTP_TIMEOUT=30 would read as a header "Timeout: 30".
        for name in [name for name in os.environ if name.startswith("HTTP_")]:
            del os.environ[name]
        self.serve(target_loader=lambda: app, wrap_loader=False)

    def shutdown(self, exit_code: int = 0) -> None:
        """Ends open streams, then stops serving."""
        notify.stopping()
        self._drain.begin()
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]

    def _announce(self) -> None:
        """The server does not say when it listens, so we knock until it opens."""
        while not self._drain.wait(_KNOCK):
            try:
                socket.create_connection(self._near, timeout=1).close()
            except OSError:
                continue
            if self._pem is not None:
                try:
                    prove_no_tls_1_2(*self._near, self._pem)
                except Internal as fault:
                    self.fault = fault
                    self.signal_handler_interrupt()  # type: ignore[no-untyped-call]
                    return
            self._listening()
            return

    def _check_gil(self) -> Any:
        """It would refuse the lock; see above."""
