"""A gRPC server as every service has it: authenticated, with health and reflection, alone on its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from foundation import notify
from foundation.auth import PUBLIC, TokenVerifier
from foundation.clock import Clock
from foundation.errors import Conflict, Internal
from foundation.handshake import prove_no_tls_1_2
from foundation.ids import SystemIds
from foundation.log import Logger
from foundation.rpc.concerns import Call, answer_errors, authenticate, log_requests, require_deadline
from foundation.rpc.limits import SERVER_OPTIONS
from foundation.rpc.socket_claim import SocketClaim
from foundation.rpc.tls import TcpDoor, require_bound, require_role, require_tls_1_3_only, server_credentials
from foundation.rpc.wrapping import Handler, wrap

_BUILT_IN_SCOPES = {
    f"/{health.SERVICE_NAME}/Check": PUBLIC,
    f"/{health.SERVICE_NAME}/List": PUBLIC,
    f"/{health.SERVICE_NAME}/Watch": PUBLIC,
    f"/{reflection.SERVICE_NAME}/ServerReflectionInfo": "read",
}


class RpcServer:
    """Serves the servicers that are added before `start`; NOT_SERVING until told otherwise."""

    def __init__(
        self,
        name: str,
        *,
        verifier: TokenVerifier,
        scopes: Mapping[str, str],
        logger: Logger,
        clock: Clock,
        tcp: TcpDoor | None = None,
        attempts: TokenVerifier | None = None,
    ) -> None:
        """To be made inside a running loop.

        `scopes` names the scope of every method, like `/quantum.safety.v1.Safety/GetMode`. With `tcp` it is served
        over TLS too. `attempts` knows the credentials of attempts, for methods of the scope "attempt".
        """
        self._name = name
        self._logger = logger
        self._scopes = {**scopes, **_BUILT_IN_SCOPES}
        self._methods: list[str] = []
        self._services: list[str] = []
        self._streams: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()
        self._claim: SocketClaim | None = None
        self._tcp = tcp
        self.tcp_port: int | None = None
        """Where it listens on TCP, once it does."""
        self._health = health.aio.HealthServicer()
        # From the inside to the outside.
        self._concerns = (
            require_deadline(),
            require_bound(tcp.workspace_key if tcp is not None else ""),
            authenticate(verifier, self._scopes, attempts),
            *((require_role(tcp),) if tcp is not None else ()),
            self._track_streams,
            answer_errors(logger, SystemIds(clock), self._stopping),
            log_requests(logger, clock),
        )
        self._server = grpc.aio.server(options=SERVER_OPTIONS)

    def add(self, add_to_server: Callable[[Any, Any], None], servicer: object, full_service_name: str) -> None:
        """Serve `servicer`; `add_to_server` is the generated `add_XServicer_to_server`."""
        add_to_server(servicer, _Registrar(self._serve))
        self._services.append(full_service_name)

    async def start(self, unix: Path) -> None:
        """Bind the socket (0600, in a folder of mode 0700), and the TCP door where one was given, and answer calls.

        Raises Internal when a method has no scope or the door lets TLS 1.2 in, Conflict when another process serves
        there, Invalid when the path is too long, NotFound when the door's identity is missing.
        """
        self._require_scopes()
        self.add(health_pb2_grpc.add_HealthServicer_to_server, self._health, health.SERVICE_NAME)
        await self.set_serving(False)
        names = (*self._services, reflection.SERVICE_NAME)
        self.add(
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server,
            reflection.aio.ReflectionServicer(names),
            reflection.SERVICE_NAME,
        )
        claim, tcp = SocketClaim(unix), self._tcp
        claim.take()
        self._claim = claim
        try:
            self._server.add_insecure_port(f"unix:{unix}")
            if tcp is not None:
                self._bind(tcp)
            await self._server.start()
            unix.chmod(0o600)
            if tcp is not None and self.tcp_port is not None:
                await self._prove(tcp, self.tcp_port)
        except BaseException:
            claim.give_back()
            raise
        self._logger.info(f"{self._name} answers on {unix}.", action="rpc_started", socket=str(unix))
        if tcp is not None:
            self._logger.info(
                f"{self._name} answers on {tcp.host} port {self.tcp_port}, TLS 1.3, to {', '.join(sorted(tcp.roles))}.",
                action="rpc_on_tcp",
                port=self.tcp_port,
            )

    async def _prove(self, tcp: TcpDoor, port: int) -> None:
        try:
            await asyncio.to_thread(prove_no_tls_1_2, tcp.host, port, tcp.identity.path)
        except BaseException:
            await self._server.stop(None)
            raise

    def _bind(self, tcp: TcpDoor) -> None:
        require_tls_1_3_only()
        try:
            self.tcp_port = self._server.add_secure_port(tcp.address, server_credentials(tcp.identity, self._logger))
        except RuntimeError as error:
            raise Conflict(
                "address_in_use",
                f"{self._name} cannot listen on {tcp.address}: it is in use, or not an address of this machine.",
                remedy="Choose another address, or end the process that has it.",
            ) from error

    async def set_serving(self, serving: bool) -> None:
        """Say through grpc health, for the server and each service, whether calls will be answered well.

        Once they are, whoever started this process as a unit is told that it is ready.
        """
        verdicts = health_pb2.HealthCheckResponse.ServingStatus
        verdict = verdicts.SERVING if serving else verdicts.NOT_SERVING
        for service in ("", *self._services):
            await self._health.set(service, verdict)
        if serving:
            notify.ready("Serves.")

    async def stop(self, grace: timedelta) -> None:
        """Refuse new calls, end streams with UNAVAILABLE, give unary calls `grace`, and free the socket."""
        await self._health.enter_graceful_shutdown()
        self._stopping.set()
        ending = asyncio.ensure_future(self._server.stop(grace.total_seconds()))
        # Streams go first: stop would wait the whole grace for a watcher that never ends by itself.
        for task in self._streams:
            task.cancel()
        await ending
        if self._claim is not None:
            self._claim.give_back()
            self._claim = None
        self._logger.info(f"{self._name} stopped.", action="rpc_stopped")

    def _serve(self, service: str, handlers: Mapping[str, Handler]) -> None:
        wrapped: dict[str, Handler] = {}
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self._methods.append(method)
            for concern in self._concerns:
                handler = wrap(handler, method, concern)
            wrapped[name] = handler
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))

    def _require_scopes(self) -> None:
        bare = sorted(method for method in self._methods if not self._scopes.get(method))
        if bare:
            raise Internal("rpc_without_scope", f"{self._name} does not start: no scope for {', '.join(bare)}.")

    @asynccontextmanager
    async def _track_streams(self, call: Call) -> AsyncIterator[None]:
        task = asyncio.current_task()
        if not call.streaming or task is None:
            yield
            return
        self._streams.add(task)
        try:
            yield
        finally:
            self._streams.discard(task)


class _Registrar:
    """Stands in for the server while a servicer is added, to get at its handlers by name."""

    def __init__(self, serve: Callable[[str, Mapping[str, Handler]], None]) -> None:
        self._serve = serve

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        self._serve(service, handlers)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Ignore the same handlers in the form that does not tell their names."""
