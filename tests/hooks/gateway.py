"""A gateway of a few lines, on a free port: it remembers what it was asked, and answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ID = "0123456789abcdefghjkmnpqrs"
GOOD = "= good none: the merge is good: 1 of 1 runs green"
HANGS_SECONDS = 300.0
"""Longer than anybody here is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. `seen` tells whether its token stood in any process's arguments while it was being answered."""

    method: str
    path: str
    token: str
    accept: str
    body: Any
    seen: bool


@dataclass
class Gateway:
    """What it was asked, and how it answers."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    status: int = 202
    answer: str = f"{ID}\nThe merge is checked.\n"
    lines: tuple[str, ...] = ("runs the smoke test", "", GOOD)
    hangs: str = ""
    """`post` or `follow`: that is never answered, or goes on for ever after its lines."""
    following: threading.Event = field(default_factory=threading.Event)
    """Set once the lines were sent."""
    left: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    breaks: int = 0
    """So many streams break off before their last line."""

    def of(self, path: str) -> list[Asked]:
        """What was asked of a path."""
        return [one for one in self.asked if one.path == path]

    @property
    def checks(self) -> list[Any]:
        """The bodies of what was asked to be checked."""
        return [one.body for one in self.of("/hooks/merge")]


@contextmanager
def gateway(watch: Callable[[str], bool] = lambda token: False, *, identity: Path | None = None) -> Iterator[Gateway]:
    """Serve until the block ends; with an identity by TLS."""
    played = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def _note(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(length)
            token = self.headers.get("X-Auth-Token") or ""
            played.asked.append(
                Asked(
                    method=self.command,
                    path=self.path,
                    token=token,
                    accept=self.headers.get("Accept") or "",
                    body=json.loads(data) if data else None,
                    seen=bool(token) and watch(token),
                )
            )

        def do_POST(self) -> None:
            self._note()
            if self.path.endswith("/leave"):
                self._say(200, "{}")
                played.left.set()
                return
            if played.hangs == "post":
                played.closing.wait(HANGS_SECONDS)
                return
            self._say(played.status, played.answer)

        def do_GET(self) -> None:
            self._note()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            breaks, played.breaks = played.breaks > 0, max(0, played.breaks - 1)
            lines = played.lines[:-1] if breaks or played.hangs == "follow" else played.lines
            for line in lines:
                self.wfile.write(f"{line}\n".encode())
                self.wfile.flush()
            played.following.set()
            if played.hangs == "follow":
                played.closing.wait(HANGS_SECONDS)

        def _say(self, status: int, text: str) -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        played.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield played
        finally:
            played.closing.set()
            server.shutdown()
            thread.join()


def in_arguments(token: str) -> bool:
    """Whether a text stands in the arguments of any process of this machine now."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if token.encode() in path.read_bytes():
                return True
        except OSError:
            continue  # it has ended meanwhile
    return False
