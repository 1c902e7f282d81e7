"""A system whose services listen over TCP: every port speaks TLS 1.3 alone and serves the right identities alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.system import REPOSITORY, System
from tests.ports import free_port
from tests.programs import require
from tests.tls import VERSIONS, speaks

SECONDS = 120


@pytest.fixture
def exposed() -> Iterator[System]:
    """Everything runs, and listens on TCP too."""
    system = System.make(
        {
            "coordinator_listen": f"127.0.0.1:{free_port()}",
            "safety_listen": f"127.0.0.1:{free_port()}",
            "gateway_host": "0.0.0.0",
            "gateway_names": "quantum.example.org",
        }
    )
    try:
        system.init().agent("hello", "echo hello over tcp; exit 7")
        yield system.up()
    finally:
        system.end()


def ports_of(system: System) -> dict[int, str]:
    """Every TCP port on which a process of the system listens, with the name of the process."""
    return {
        connection.laddr.port: name
        for name, one in system.running.processes.items()
        for connection in psutil.Process(one.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def issue(system: System, role: str) -> Path:
    """An identity as a person gets one."""
    path = system.folder / f"{role}.pem"
    system.quantum("ca", "issue", "--role", role, "--name", "laptop", "--out", str(path), code=0)
    return path


def client(system: System, address: str, identity: Path) -> subprocess.CompletedProcess[str]:
    """The example of an internal tool, from elsewhere: over TCP, with a token on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "examples.client", "--connect", address, "--identity", str(identity), "hello"],
        input=system.quantum("token", "show", code=0).out,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=REPOSITORY,
        env=system.environ,
    )


def test_every_tcp_port_speaks_tls_1_3_alone_and_knows_its_callers(exposed: System) -> None:
    require("openssl")
    ports = ports_of(exposed)
    assert set(ports.values()) == {"safety", "coordinator", "gateway"}
    user, runner = issue(exposed, "user"), issue(exposed, "safety")
    for port, name in ports.items():
        spoken = {version: speaks(port, flag, user) for flag, version in VERSIONS.items()}
        assert spoken == {"TLSv1": False, "TLSv1.1": False, "TLSv1.2": False, "TLSv1.3": True}, name

    address = exposed.environ["QUANTUM_COORDINATOR_LISTEN"]
    served = client(exposed, address, user)
    assert (served.returncode, served.stdout) == (7, "hello over tcp\n"), served.stderr
    refused = client(exposed, address, runner)
    assert refused.returncode == 1
    assert "not of a role that may come in here" in refused.stderr

    shown = exposed.ask("ca", "show")["certificates"]
    assert {one["what"] for one in shown} == {"authority", "safety", "coordinator", "gateway"}
    assert exposed.ask("status")["url"].startswith("https://localhost:")
    assert exposed.quantum("doctor").code in (0, 1)
