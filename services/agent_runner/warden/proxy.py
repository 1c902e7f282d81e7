"""The way from sandboxes to the hosts that their manifests list: `python -m services.agent_runner.warden.proxy`.

One process per warden. It is handed listening sockets, each with its list, through a socket on fd 3, and ends when that
closes. It takes CONNECT alone, resolves names itself, and says on standard error what it refused.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

from services.agent_runner.warden.proxy_rules import HEAD_BYTES_MAX, Target, asked_for, listed, reachable

LINK_FD = 3
CONNECTIONS_MAX = 256
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


class Proxy:
    """Serves every list on a socket of its own."""

    def __init__(self) -> None:
        self._open = 0
        self._servers: list[asyncio.Server] = []

    async def listen(self, listener: socket.socket, hosts: Sequence[str]) -> None:
        """Serve a list on a socket that listens already."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(reader, writer, hosts)

        self._servers.append(await asyncio.start_unix_server(serve, sock=listener, limit=HEAD_BYTES_MAX))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hosts: Sequence[str]) -> None:
        self._open += 1
        outside: asyncio.StreamWriter | None = None
        try:
            if self._open > CONNECTIONS_MAX:
                raise Refused(503, f"more than {CONNECTIONS_MAX} connections are open")
            answer, outside = await _connect(await _wanted(reader), hosts)
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
            self._open -= 1
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


Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _relay(*ways: Way) -> None:
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
    """Take lists from the link until it closes."""
    loop, proxy = asyncio.get_running_loop(), Proxy()
    closed: asyncio.Future[None] = loop.create_future()
    starting: set[asyncio.Task[None]] = set()

    def take() -> None:
        try:
            order, fds, _, _ = socket.recv_fds(link, _ORDER_BYTES_MAX, 1)
        except BlockingIOError:
            return
        if not order:
            loop.remove_reader(link)
            closed.set_result(None)
            return
        for fd in fds:
            task = loop.create_task(proxy.listen(socket.socket(fileno=fd), json.loads(order)))
            starting.add(task)
            task.add_done_callback(starting.discard)

    link.setblocking(False)
    loop.add_reader(link, take)
    await closed


def main() -> None:
    """Serve the warden on the other end of fd 3."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    asyncio.run(serve(socket.socket(fileno=LINK_FD)))


if __name__ == "__main__":
    main()
