"""A small service without a proto, of bytes in and bytes out, and what its tests need round it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from foundation.auth import Caller, current_caller
from foundation.clock import SystemClock
from foundation.errors import QuantumError, Unauthenticated
from foundation.log import get_logger
from foundation.rpc.channel import open_channel
from foundation.rpc.server import RpcServer

SERVICE = "quantum.trial.v1.TrialService"
SCOPES = {
    f"/{SERVICE}/Ask": "read",
    f"/{SERVICE}/Watch": "read",
    f"/{SERVICE}/Upload": "submit",
    f"/{SERVICE}/Talk": "service",
}
DEADLINE_SECONDS = 60
Context = Any


@dataclass(kw_only=True)
class Trial:
    """Answers each kind of call with `answer(request)`, after the caller's name."""

    answer: Callable[[bytes], Awaitable[bytes]]
    watching: asyncio.Event = field(default_factory=asyncio.Event)
    cleaned_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, request: bytes, context: Context) -> bytes:
        """One in, one out."""
        return await self._reply(request)

    async def watch(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        """Two replies; then nothing for ever when asked for `forever`, and no end of them for `flood`."""
        try:
            yield await self._reply(request)
            yield await self._reply(request)
            self.watching.set()
            while request == b"flood":
                yield b"x" * 1024 * 1024
            if request == b"forever":
                await asyncio.Event().wait()
        finally:
            current_caller()  # still the same call
            self.cleaned_up.set()

    async def upload(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        """Many in, one out."""
        return await self._reply(b"+".join([request async for request in requests]))

    async def talk(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Many in, many out, in the style that writes instead of yielding."""
        async for request in requests:
            await context.write(await self._reply(request))

    async def _reply(self, request: bytes) -> bytes:
        return current_caller().name.encode() + b":" + await self.answer(request)


def add_trial(servicer: object, server: Any) -> None:
    """Does what a generated `add_XServicer_to_server` does."""
    trial: Any = servicer
    handlers: dict[str, Any] = {
        "Ask": grpc.unary_unary_rpc_method_handler(trial.ask),
        "Watch": grpc.unary_stream_rpc_method_handler(trial.watch),
        "Upload": grpc.stream_unary_rpc_method_handler(trial.upload),
        "Talk": grpc.stream_stream_rpc_method_handler(trial.talk),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


class Verifier:
    """Tokens are written `name/scope,scope`; those in `revoked` are not good any more."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()
        self.fault: QuantumError | None = None
        self.asked = asyncio.Event()
        """Set at each question."""
        self.questions = 0

    async def verify(self, token: str) -> Caller:
        self.asked.set()
        self.questions += 1
        if self.fault is not None:
            raise self.fault
        if token in self.revoked:
            raise Unauthenticated("token_revoked", "The token was revoked.")
        name, slash, scopes = token.partition("/")
        if not slash:
            raise Unauthenticated("token_unknown", "The token is not a good one.")
        return Caller(token_id="0" * 12, name=name, scopes=frozenset(scopes.split(",")))


async def echo(request: bytes) -> bytes:
    """The answer of a servicer without ideas."""
    return request


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="q") as folder:
        yield Path(folder)


@asynccontextmanager
async def serving(socket: Path, trial: Trial, verifier: Verifier | None = None) -> AsyncIterator[RpcServer]:
    """A started server, stopped at the end."""
    verifier = verifier or Verifier()
    server = RpcServer("trial", verifier=verifier, scopes=SCOPES, logger=get_logger("trial"), clock=SystemClock())
    server.add(add_trial, trial, SERVICE)
    await server.start(socket)
    try:
        yield server
    finally:
        await server.stop(timedelta(seconds=5))


@asynccontextmanager
async def calling(socket: Path, token: str | None, retry: tuple[str, ...] = ()) -> AsyncIterator[Calls]:
    """The four calls through a channel of ours."""
    async with open_channel(socket, token=lambda: token, retry=retry) as channel:
        yield Calls(channel)


class Calls:
    """What a generated stub would be."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        opened: Any = channel
        self.channel = opened
        self.ask = opened.unary_unary(f"/{SERVICE}/Ask")
        self.watch = opened.unary_stream(f"/{SERVICE}/Watch")
        self.upload = opened.stream_unary(f"/{SERVICE}/Upload")
        self.talk = opened.stream_stream(f"/{SERVICE}/Talk")

    def each_kind(self, request: bytes, *, silent: bool = False) -> list[Callable[[], Awaitable[object]]]:
        """One call of each kind, to be made by the receiver; `silent` ones open their streams and write nothing.

        A refusal that crosses a write loses its reason inside grpc.
        """

        async def requests() -> AsyncIterator[bytes]:
            if silent:
                await asyncio.Event().wait()
            yield request

        async def collect(stream: AsyncIterator[bytes]) -> list[bytes]:
            return [reply async for reply in stream]

        return [
            lambda: self.ask(request, timeout=DEADLINE_SECONDS),
            lambda: collect(self.watch(request, timeout=DEADLINE_SECONDS)),
            lambda: self.upload(requests(), timeout=DEADLINE_SECONDS),
            lambda: collect(self.talk(requests(), timeout=DEADLINE_SECONDS)),
        ]
