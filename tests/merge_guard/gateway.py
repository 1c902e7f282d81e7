"""A gateway for tests: a real HTTP server that answers one question and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answering:
    """What it answers: `statuses` one after the other, the last for ever; and what it was asked."""

    body: bytes = b'{"may_move": true, "reason": ""}'
    statuses: list[int] = field(default_factory=lambda: [200])
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    address: str = ""


@contextmanager
def answering(answers: Answering) -> Iterator[Answering]:
    """Serve on a free port of this machine for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answers.asked.append((self.path, self.headers["X-Auth-Token"], json.loads(body)))
            status = answers.statuses.pop(0) if len(answers.statuses) > 1 else answers.statuses[0]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{answers.address}/elsewhere")
            self.send_header("Content-Length", str(len(answers.body)))
            self.end_headers()
            self.wfile.write(answers.body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answers.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
