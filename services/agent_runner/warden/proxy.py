"""The way from sandboxes to the hosts that their manifests list: `python -m services.agent_runner.warden.proxy`.

One process per warden. It is handed a listening socket for each sandbox, with its list, through a socket on fd 3; it
closes one, with its connections, when it is told that the sandbox has ended, and ends when that link closes. It takes
CONNECT alone, resolves names itself, and says on standard error what it refused.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

from services.agent_runner.warden.proxy_rules import HEAD_BYTES_MAX, Target, asked_for, listed, reachable

LINK_FD = 3
CONNECTIONS_MAX = 64
"""At a time, of one sandbox; what others have open is nothing to it."""
HEAD_SECONDS = 10.0
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 300.0
_PIECE_BYTES = 65536
_ORDER_BYTES_MAX = 1 << 16
_RESPONSES = {
    403: "Forbidden",
    405: "Method Not Allowed",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class Refused(Exception):
    """A request gets no connection; the sentence goes to the script."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Way:
    """The way of one sandbox to the hosts of its list. Cancelled, it ends with every connection on it."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        self._open: set[asyncio.Task[None]] = set()

    async def keep(self, listener: socket.socket) -> None:
        """Serve on a socket that listens already, for ever."""
        server = await asyncio.start_unix_server(self._accept, sock=listener, limit=HEAD_BYTES_MAX)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            for connection in self._open:
                connection.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer, full=len(self._open) >= CONNECTIONS_MAX))
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, full: bool) -> None:
        outside: asyncio.StreamWriter | None = None
        try:
            if full:
                raise Refused(503, f"{CONNECTIONS_MAX} connections of this sandbox are open, and no more can be")
            answer, outside = await _connect(await _wanted(reader), self._hosts)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _relay((reader, outside), (answer, writer))
        except Refused as refused:
            print(f"sandbox proxy: {refused}", file=sys.stderr, flush=True)
            body = f"Quantum's sandbox: {refused}\n".encode()
            head = f"HTTP/1.1 {refused.status} {_RESPONSES[refused.status]}\r\nContent-Type: text/plain\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # One of both has gone, or never said what it wants: nobody is left to be told.
            pass
        finally:
            for end in (outside, writer):
                if end is not None:
                    with suppress(OSError):
                        end.close()


async def _wanted(reader: asyncio.StreamReader) -> Target:
    async with asyncio.timeout(HEAD_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
    wanted = asked_for(head)
    if wanted is None:
        raise Refused(405, "only CONNECT host:port is passed on (https, or a tunnel)")
    return wanted


async def _connect(wanted: Target, hosts: Sequence[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    said = f"{wanted.host}:{wanted.port}"
    if not listed(wanted, hosts):
        raise Refused(403, f"{said} is not in the manifest's list ({', '.join(hosts)})")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await loop.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
            good = [address for address in addresses if reachable(address, wanted, hosts)]
            if not good:
                raise Refused(
                    403, f"{said} leads to {', '.join(addresses)}, which only the address itself may be listed for"
                )
            # The address that was looked at, not the name again: it could lead elsewhere by now.
            return await asyncio.open_connection(good[0], wanted.port)
    except (OSError, TimeoutError, UnicodeError) as error:  # the last for what can be no name
        raise Refused(502, f"{said} could not be reached: {str(error) or 'it does not answer'}") from error


_Direction = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _relay(*ways: _Direction) -> None:
    async with asyncio.TaskGroup() as both:
        for way in ways:
            both.create_task(_pass(*way))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, TimeoutError):
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                data = await reader.read(_PIECE_BYTES)
            if not data:
                break
            writer.write(data)
            async with asyncio.timeout(IDLE_SECONDS):
                await writer.drain()
    with suppress(OSError):
        writer.write_eof()


async def serve(link: socket.socket) -> None:
    """Take orders from the link until it closes: a way by its number, with its hosts and its socket, or its end."""
    loop = asyncio.get_running_loop()
    closed: asyncio.Future[None] = loop.create_future()
    ways: dict[int, asyncio.Task[None]] = {}

    def take() -> None:
        try:
            order, fds, _, _ = socket.recv_fds(link, _ORDER_BYTES_MAX, 1)
        except BlockingIOError:
            return
        if not order:
            loop.remove_reader(link)
            closed.set_result(None)
            return
        number, hosts = json.loads(order)
        for fd in fds:
            ways[number] = loop.create_task(Way(hosts).keep(socket.socket(fileno=fd)))
        if not fds and (way := ways.pop(number, None)) is not None:
            way.cancel()

    link.setblocking(False)
    loop.add_reader(link, take)
    await closed


def main() -> None:
    """Serve the warden on the other end of fd 3."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    # Each connection takes two files, and the many sandboxes of a warden share what one process may open.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve(socket.socket(fileno=LINK_FD)))


if __name__ == "__main__":
    main()
