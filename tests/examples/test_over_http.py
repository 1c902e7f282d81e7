"""The demo's reader of server-sent events puts lines together again, however they were cut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from examples.over_http import Gateway

STREAM = (
    "event: log\nid: 4\ndata: one\ndata: tw\n\n"
    ": a comment keeps the connection open\n\n"
    "event: log\nid: 9\ndata: o\ndata: three\n\n"
    'event: end\ndata: {"state": "succeeded"}\n\n'
)


class OneLog(BaseHTTPRequestHandler):
    """Answers a log with the stream above, and everything else with a problem."""

    def do_GET(self) -> None:
        """One answer."""
        log = self.path.startswith("/tasks/1/log") and self.headers["X-Auth-Token"] == "secret"
        body = STREAM.encode() if log else b'{"code": "not_found", "detail": "There is no such task."}'
        self.send_response(200 if log else 404)
        self.send_header("Content-Type", "text/event-stream" if log else "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway that knows one log."""
    with HTTPServer(("127.0.0.1", 0), OneLog) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Gateway(f"http://127.0.0.1:{server.server_port}", "secret")
        server.shutdown()
        thread.join()


def test_lines_are_whole(gateway: Gateway) -> None:
    assert list(gateway.log_lines("1")) == ["one", "two", "three"]


def test_a_refusal_is_an_answer(gateway: Gateway) -> None:
    status, problem = gateway.get("/tasks/2")
    assert (status, problem["code"]) == (404, "not_found")
