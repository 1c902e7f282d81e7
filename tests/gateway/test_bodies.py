"""Bodies that do not come: typed into a socket, because no client library would send such a thing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from foundation.ids import random_bytes
from foundation.tokens import mint
from gateway.bodies import AWAITED_MAX
from tests.gateway.conftest import Backstage
from tests.gateway.test_process import Process

PROMPT_SECONDS = 90.0
"""For an answer; whoever waited for a body that never comes would give none at all."""
ABSURD = 99_999_999_999_999


@pytest.fixture
def process(backstage: Backstage) -> Iterator[Process]:
    process = Process(backstage, QUANTUM_GATEWAY_DRAIN_SECONDS="1")
    yield process
    process.process.kill()
    process.process.wait(90)


def _send(process: Process, line: str, *headers: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", process.port), timeout=PROMPT_SECONDS)
    host = f"Host: localhost:{process.port}"
    connection.sendall("\r\n".join((f"{line} HTTP/1.1", host, *headers, "", "")).encode())
    return connection


def _status(connection: socket.socket) -> int:
    """The answer's status. Fails by a time-out when none comes."""
    return int(connection.recv(64).split()[1])


def _ask(process: Process, line: str, *headers: str) -> int:
    with _send(process, line, *headers) as connection:
        return _status(connection)


def _token(process: Process) -> str:
    return f"X-Auth-Token: {process.backstage.world.user.text}"


@pytest.mark.parametrize("length", [ABSURD, 5_000_000])
def test_too_large_is_said_before_anything_was_sent(process: Process, length: int) -> None:
    for token in ((), (_token(process),)):
        for expect in ((), ("Expect: 100-continue",)):
            said = _ask(process, "POST /tasks/queue", f"Content-Length: {length}", *token, *expect)
            assert said in (413, 100), said
    assert process.get("/mode").status == 200


@pytest.mark.parametrize("length", ["99999999999999999999999", "18446744073709551615", "-1", "ten", "1, 2", ""])
def test_a_length_that_is_none_is_refused_at_once(process: Process, length: str) -> None:
    assert 400 <= _ask(process, "POST /tasks/queue", f"Content-Length: {length}") < 500


@pytest.mark.parametrize("body", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_without_a_token_nobody_waits_for_the_body(process: Process, body: str) -> None:
    assert _ask(process, "POST /tasks/queue", body) == 401


def test_bodies_that_never_come_keep_nobody_else_from_being_served(process: Process) -> None:
    headers = ("Content-Type: application/json", "Content-Length: 100")
    with ExitStack() as held:
        slow = [
            held.enter_context(
                _send(process, "POST /tasks/queue", f"X-Auth-Token: {mint(random_bytes).text}", *headers)
            )
            for _ in range(60)
        ]
        # Those for whom there is no place are told so; the others wait for what they have announced.
        answers = [_status(connection) for connection in _readable(slow, len(slow) - AWAITED_MAX)]
        assert set(answers) == {429}
        assert process.get("/mode").status == 200
        assert _ask(process, "GET /health") == 200
    assert process.post("/tasks/queue", b'{"agent": "hello"}').status == 201


def _readable(connections: list[socket.socket], number: int) -> list[socket.socket]:
    """The first so many that have an answer."""
    import selectors

    found: list[socket.socket] = []
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        while len(found) < number:
            ready = selector.select(90)
            assert ready, f"{len(found)} of {number} were answered"
            for key, _ in ready:
                selector.unregister(key.fileobj)
                found.append(connections[[one.fileno() for one in connections].index(key.fd)])
    return found
