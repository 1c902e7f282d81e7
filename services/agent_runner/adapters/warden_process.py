"""Starts the warden and speaks with it from the runner's loop; if it dies, ends what it left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import services
from foundation.clock import Clock
from foundation.errors import Unavailable
from services.agent_runner.warden import reaping
from services.agent_runner.warden.facts import WardenFacts
from services.agent_runner.warden.host import Host, RunMark
from services.agent_runner.warden.protocol import Decoder, Message, Ready, encode

LINK_FD = 3
PROGRAM = "services.agent_runner.warden"
_READ_BYTES = 1 << 18
_ROOT = Path(next(iter(services.__path__))).parent


def spawn(folder: Path, stop_file: Path, run: str, facts: WardenFacts) -> tuple[int, socket.socket]:
    """Start a warden in a session of its own; returns its pid and our end of the link.

    posix_spawn, never fork: this process has gRPC loaded, and a fork of it goes wrong.
    """
    ours, theirs = socket.socketpair()
    argv = [sys.executable, "-P", "-m", PROGRAM, str(folder), str(stop_file), run]
    argv.append(facts.argument())
    pid = os.posix_spawn(
        sys.executable,
        argv,
        {**os.environ, "PYTHONPATH": str(_ROOT)},
        file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), LINK_FD)],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE],
    )
    theirs.close()
    return pid, ours


class WardenProcess(asyncio.Protocol):
    """See `WardenLink`."""

    def __init__(self, on_news: Callable[[Sequence[Message]], None], loop: asyncio.AbstractEventLoop) -> None:
        self._on_news = on_news
        self._loop = loop
        self._decoder = Decoder()
        self._orders: list[Message] = []
        self._transport: asyncio.WriteTransport | None = None
        self.pid = 0
        self.ready: asyncio.Future[Ready] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def start(
        cls, folder: Path, stop_file: Path, run: str, facts: WardenFacts, on_news: Callable[[Sequence[Message]], None]
    ) -> WardenProcess:
        """Spawn a warden and wait until it is ready, which it is once an earlier run's processes are dead.

        Raises Unavailable when it ends before.
        """
        loop = asyncio.get_running_loop()
        pid, link = spawn(folder, stop_file, run, facts)
        link.setblocking(False)
        _, process = await loop.create_connection(lambda: cls(on_news, loop), sock=link)
        process.pid = pid
        await process.ready
        return process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The link is up."""
        # Not checked: uvloop's transports behave as asyncio's and do not derive from them.
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """News from the warden."""
        messages = self._decoder.feed(data)
        if messages and isinstance(messages[0], Ready):
            self.ready.set_result(messages[0])
        self._on_news(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        """The warden has ended, as asked or not."""
        if not self.ready.done():
            self.ready.set_exception(Unavailable("warden_lost", "The warden ended before it was ready."))
        if not self.gone.done():
            self.gone.set_result(None)

    def tell(self, *orders: Message) -> None:
        """See `WardenLink`."""
        if not self._orders:
            self._loop.call_soon(self._flush)
        self._orders += orders

    def _flush(self) -> None:
        orders, self._orders = self._orders, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(orders))

    def close(self) -> None:
        """Let go of the link; a warden that still has trees ends them by their deadlines."""
        if self._transport is not None:
            self._transport.close()


def end_orphans(host: Host, mark: RunMark, clock: Clock, grace: float) -> bool:
    """The warden is gone: end its trees ourselves; blocks until they are, and says whether they are.

    Nothing else is left for this process to do, and nobody else would end them before the next start.
    """
    return not reaping.end_run(host, mark, clock, grace=grace).alive
