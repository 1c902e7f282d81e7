"""The gateway as a process of its own: its port, its streams, its end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from gateway.listening import claim_port
from tests.gateway.conftest import Backstage
from tests.ports import free_port

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 90


class Process:
    """A gateway that was started with a free port; to be stopped."""

    def __init__(self, backstage: Backstage, **settings: str) -> None:
        self.backstage = backstage
        self.port = free_port()
        self.process = start(backstage, self.port, **settings)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "answers on" in line, line + self.process.stderr.read()

    def connect(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """GET with the user's token."""
        connection = self.connect()
        connection.request("GET", path, headers={"X-Auth-Token": self.backstage.world.user.text, **headers})
        return connection.getresponse()

    def post(self, path: str, body: bytes) -> http.client.HTTPResponse:
        """POST of JSON with the user's token."""
        connection = self.connect()
        headers = {"X-Auth-Token": self.backstage.world.user.text, "Content-Type": "application/json"}
        connection.request("POST", path, body=body, headers=headers)
        return connection.getresponse()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(_SECONDS)


def start(backstage: Backstage, port: int, **settings: str) -> subprocess.Popen[str]:
    """A gateway process; it says on standard error when it answers."""
    environment = {**os.environ, "QUANTUM_GATEWAY_PORT": str(port), "PYTHONPATH": str(_ROOT), **settings}
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "--workspace", str(backstage.workspace.root), "--debug"],
        env=environment,
        cwd=_ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def process(backstage: Backstage) -> Iterator[Process]:
    """A gateway process."""
    process = Process(backstage, HTTP_TIMEOUT="7", QUANTUM_GATEWAY_DRAIN_SECONDS="2")
    yield process
    if process.process.poll() is None:
        process.process.kill()
        process.process.wait(_SECONDS)


def test_answers_and_ends_clean(process: Process) -> None:
    bare = process.connect()
    bare.request("GET", "/health")
    answer = bare.getresponse()
    assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
    assert process.get("/agents/status").status == 200
    assert process.stop() == 0


def test_a_stream_flushes_and_a_stop_ends_it(process: Process) -> None:
    task = json.loads(process.post("/tasks/queue", b'{"agent": "hello"}').read())["task"]
    stream = process.get(f"/tasks/{task['id']}/log?follow=1")
    assert stream.status == 200
    lines = []
    while "data: zwei" not in lines:
        lines.append(stream.readline().decode().rstrip("\n"))
    process.process.terminate()
    stream.read()  # comes to its end
    assert process.process.wait(_SECONDS) == 0


def test_a_request_that_does_not_end_is_left_behind(process: Process) -> None:
    connection = process.connect()
    headers = {"X-Auth-Token": process.backstage.world.user.text, "Content-Type": "application/json"}
    connection.request("POST", "/tasks/queue", body=b'{"agent": "slow"}', headers=headers)
    process.backstage.wait_for_slow_call()
    assert process.stop() == 0


def test_a_body_of_unknown_length_is_measured_too(process: Process) -> None:
    connection = process.connect()
    headers = {"X-Auth-Token": process.backstage.world.user.text, "Content-Type": "application/json"}
    body = b'{"agent": "hello", "params": {"x": "' + b"y" * 2_000_000 + b'"}}'
    connection.request("POST", "/tasks/queue", body=iter([body]), headers=headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    assert process.backstage.world.tasks == {}


def test_a_large_body_is_refused_and_the_answer_arrives(process: Process) -> None:
    answer = process.post("/tasks/queue", b'{"agent": "' + b"y" * 5_000_000 + b'"}')
    assert answer.status == 413
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_nobody_else_can_sit_on_the_other_loopback_address(process: Process) -> None:
    try:
        other = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        other.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    other.close()
    with closing(socket.socket(socket.AF_INET6, socket.SOCK_STREAM)) as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            thief.bind(("::1", process.port))
    with closing(socket.create_connection(("localhost", process.port), timeout=_SECONDS)) as connection:
        assert connection.family is socket.AF_INET


def test_a_port_in_use_is_named_with_its_owner(process: Process) -> None:
    second = start(process.backstage, process.port)
    _, said = second.communicate(timeout=_SECONDS)
    assert second.returncode == 69
    assert f"Port {process.port} is in use by process {process.process.pid} (" in said
    assert "QUANTUM_GATEWAY_PORT=" in said
    assert "Traceback" not in said


def test_it_is_small(process: Process) -> None:
    for path in ("/health", "/agents/status", "/tasks/queue", "/metrics", "/metrics/dashboard", "/openapi.json", "/"):
        process.get(path).read()
    family = [psutil.Process(process.process.pid)]
    family += family[0].children(recursive=True)
    assert sum(member.memory_info().rss for member in family) < 100 * 1024 * 1024


def test_a_free_port_is_found_for_zero() -> None:
    port, held = claim_port("127.0.0.1", 0)
    assert port > 0
    if held is not None:
        assert held.getsockname()[1] == port
        held.close()


def test_logs_never_hold_a_token(process: Process) -> None:
    token = process.backstage.world.user.text
    process.get(f"/tasks/{token}")
    process.get("/tasks/queue", Origin=token)
    process.process.send_signal(signal.SIGTERM)
    _, said = process.process.communicate(timeout=_SECONDS)
    logs = [path.read_text() for path in process.backstage.workspace.logs.rglob("*.log")]
    assert len(logs) == 2
    for text in (said, *logs):
        assert token not in text
