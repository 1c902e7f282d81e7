"""A gateway in this process, in front of stand-in services that answer real gRPC on real sockets."""

from __future__ import annotations

import tempfile
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from werkzeug.test import TestResponse

from foundation.clock import SystemClock
from foundation.ids import random_bytes
from foundation.loop import BackgroundLoop
from foundation.rpc.server import RpcServer
from foundation.settings import load
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
from tests.gateway.stand_in_coordinator import World, start_coordinator
from tests.gateway.stand_in_safety import start_safety

PORT = 5005
BASE = f"http://localhost:{PORT}"
_TIME = timedelta(seconds=90)


class Backstage:
    """The stand-in services of a workspace; each can be taken away and brought back."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.loop = BackgroundLoop("stand-ins")
        self.world = self.loop.run(self._make_world(), _TIME)
        self._servers: dict[str, RpcServer] = {}
        self.start("coordinator")
        self.start("safety")

    def start(self, name: str) -> None:
        """Starts `coordinator` or `safety`."""
        start = {"coordinator": start_coordinator, "safety": start_safety}[name]
        self._servers[name] = self.loop.run(start(self.world, self.workspace.socket(name)), _TIME)

    def stop(self, name: str) -> None:
        """Stops it; does nothing when it is stopped."""
        server = self._servers.pop(name, None)
        if server is not None:
            self.loop.run(server.stop(timedelta(seconds=0)), _TIME)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something among the stand-ins."""
        self.loop.run(work, _TIME)

    def end_logs(self) -> None:
        """Lets followed logs come to their end."""
        self.loop.run(self._end_logs(), _TIME)

    def wait_for_slow_call(self) -> None:
        """Returns once a call that is never answered has reached the coordinator."""
        self.loop.run(self._slow_call(), _TIME)

    def close(self) -> None:
        """Stops everything."""
        for name in list(self._servers):
            self.stop(name)
        self.loop.close()

    async def _make_world(self) -> World:
        return World()

    async def _slow_call(self) -> None:
        await self.world.slow_call.wait()

    async def _end_logs(self) -> None:
        self.world.log_goes_on.set()


@dataclass
class Front:
    """The gateway as a test uses it."""

    app: OpenAPI
    state: Gateway
    backstage: Backstage

    @property
    def world(self) -> World:
        """What the services know."""
        return self.backstage.world

    @property
    def headers(self) -> dict[str, str]:
        """The user's token."""
        return {"X-Auth-Token": self.world.user.text}

    def client(self) -> FlaskClient:
        """A client of its own, with its own cookies."""
        return self.app.test_client()

    def get(self, path: str, **more: Any) -> TestResponse:
        """GET with the user's token."""
        return self.client().get(path, base_url=BASE, headers=self.headers | more.pop("headers", {}), **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        """POST with the user's token."""
        return self.client().post(path, base_url=BASE, headers=self.headers | more.pop("headers", {}), **more)

    def submit(self, agent: str = "hello", **more: object) -> dict[str, Any]:
        """A task that was accepted."""
        answer = self.post("/tasks/queue", json={"agent": agent, **more})
        assert answer.status_code == 201, answer.text
        task: dict[str, Any] = answer.get_json()["task"]
        return task


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace whose sockets have short paths."""
    with tempfile.TemporaryDirectory(prefix="qgw") as folder:
        root = Path(folder)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(root / "run"))
        (root / "ws" / "config").mkdir(parents=True)
        (root / "ws" / "config" / "agent_config.json").write_text("{}")
        workspace = Workspace(root / "ws")
        workspace.make_sockets()
        yield workspace


@pytest.fixture
def backstage(workspace: Workspace) -> Iterator[Backstage]:
    """The stand-in services."""
    backstage = Backstage(workspace)
    yield backstage
    backstage.close()


@pytest.fixture
def flags() -> dict[str, str]:
    """Settings of the gateway under test; a test module may say otherwise."""
    return {}


@pytest.fixture
def address() -> Address:
    """Where it listens; a test module may say otherwise."""
    return Address("127.0.0.1", PORT)


@pytest.fixture
def front(backstage: Backstage, flags: dict[str, str], address: Address) -> Iterator[Front]:
    """The gateway, in this process."""
    workspace, clock = backstage.workspace, SystemClock()
    settings = load(GatewaySettings, workspace=workspace, environ={}, flags=flags)
    services = Services(workspace, channels=settings.connection_pool, deadline=settings.deadline, clock=clock)
    state = Gateway(
        settings=settings,
        address=address,
        clock=clock,
        services=services,
        drain=Drain(),
        sessions=Sessions(random_bytes),
        attempts=FailedAttempts(),
        bodies=Bodies(settings.gateway_body_bytes_max),
        access_log=AccessLog(workspace.logs / "access.log", bytes_max=100_000, files_max=2),
        slots=StreamSlots(2),
    )
    yield Front(create_app(state), state, backstage)
    services.close()
    state.access_log.close()
