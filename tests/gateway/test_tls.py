"""Beyond loopback the gateway speaks TLS 1.3, under the names that it was given, or it does not start."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.authority import Authority
from foundation.clock import SystemClock
from foundation.errors import Invalid
from foundation.files import atomic_write
from foundation.workspace import Workspace
from gateway.address import Address, address_of
from tests.gateway.conftest import Backstage
from tests.gateway.test_process import Process, start
from tests.programs import require
from tests.tls import VERSIONS, speaks

NAME = "quantum.example.org"
EXPOSED = {"QUANTUM_GATEWAY_HOST": "0.0.0.0", "QUANTUM_GATEWAY_NAMES": NAME}
_SECONDS = 90


def give_identity(workspace: Workspace) -> Path:
    """Write the gateway's identity as `quantum ca renew` would; returns the authority's certificate."""
    now = SystemClock().now()
    authority = Authority.make(workspace.key12, now=now)
    workspace.authority.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(workspace.authority, authority.certificate, 0o644)
    pem = authority.issue(workspace.key12, "gateway", "local", now=now, hosts=(NAME, "localhost", "127.0.0.1"))
    atomic_write(workspace.identity("gateway"), pem, 0o600)
    return workspace.authority


@pytest.fixture
def exposed(backstage: Backstage) -> Iterator[Process]:
    """A gateway on all addresses."""
    give_identity(backstage.workspace)
    process = Process(backstage, **EXPOSED)
    yield process
    process.stop()


def get(process: Process, path: str, *, host: str, origin: str = "", token: str = "") -> int:
    """The status of a request over TLS, by a caller who trusts the workspace's authority alone."""
    context = ssl.create_default_context(cafile=process.backstage.workspace.authority)
    headers = {"Host": host, **({"Origin": origin} if origin else {}), **({"X-Auth-Token": token} if token else {})}
    connection = http.client.HTTPSConnection("127.0.0.1", process.port, context=context, timeout=_SECONDS)
    connection.request("GET", path, headers=headers)
    return connection.getresponse().status


def test_it_serves_under_its_names(exposed: Process) -> None:
    own, token = f"{NAME}:{exposed.port}", exposed.backstage.world.user.text
    assert get(exposed, "/tasks/queue", host=own, token=token) == 200
    assert get(exposed, "/tasks/queue", host=own) == 401
    assert get(exposed, "/tasks/queue", host=own, token=token, origin=f"https://{own}") == 200
    assert get(exposed, "/tasks/queue", host=own, token=token, origin=f"http://{own}") == 403
    assert get(exposed, "/tasks/queue", host=f"evil.example.org:{exposed.port}", token=token) == 421


def test_it_speaks_tls_1_3_and_nothing_else(exposed: Process) -> None:
    require("openssl")
    identity = exposed.backstage.workspace.identity("gateway")
    spoken = {name: speaks(exposed.port, flag, identity) for flag, name in VERSIONS.items()}
    assert spoken == {"TLSv1": False, "TLSv1.1": False, "TLSv1.2": False, "TLSv1.3": True}
    with socket.create_connection(("127.0.0.1", exposed.port), timeout=_SECONDS) as plain:
        plain.sendall(f"GET /health HTTP/1.1\r\nHost: {NAME}:{exposed.port}\r\n\r\n".encode())
        try:
            said = plain.recv(1024)
        except ConnectionResetError:
            said = b""
    assert not said.startswith(b"HTTP"), "there is no plain HTTP beside it"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"QUANTUM_GATEWAY_HOST": "0.0.0.0"}, "not said by which names"),
        (EXPOSED, "without which nothing may speak over TCP"),
        ({**EXPOSED, "QUANTUM_GATEWAY_HOST": "203.0.113.7", "identity": "yes"}, "not an address of this machine"),
    ],
)
def test_beyond_loopback_it_does_not_start_by_half(
    backstage: Backstage, settings: dict[str, str], sentence: str
) -> None:
    settings = dict(settings)
    if settings.pop("identity", ""):
        give_identity(backstage.workspace)
    refused = start(backstage, 0, **settings)
    _, said = refused.communicate(timeout=_SECONDS)
    assert refused.returncode == 78
    assert sentence in said
    assert "Traceback" not in said


def test_an_address_knows_its_names() -> None:
    assert Address("127.0.0.1", 5005).hosts == ("localhost:5005", "127.0.0.1:5005", "[::1]:5005")
    assert "localhost" in Address("127.0.0.1", 80).hosts
    assert "localhost" not in Address("127.0.0.1", 443).hosts
    exposed = address_of("192.0.2.1", 443, "Quantum.Example.org, other")
    assert exposed.hosts[:4] == ("quantum.example.org:443", "quantum.example.org", "other:443", "other")
    assert "https://192.0.2.1" in exposed.origins
    assert address_of("localhost", 5005, "").scheme == "http"
    with pytest.raises(Invalid, match="by which names"):
        address_of("::", 5005, " , ")
