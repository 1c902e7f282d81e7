"""The services behind the gateway: a pool of channels, and calls in the name of whoever sent the request."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from clients.coordinator import CoordinatorClient
from clients.health import is_serving
from clients.safety import SafetyClient
from foundation.auth import calling_from
from foundation.clock import Clock
from foundation.errors import Kind, QuantumError, TimedOut, Unavailable
from foundation.loop import BackgroundLoop
from foundation.workspace import Workspace

T = TypeVar("T")

_SLACK = timedelta(seconds=2)
"""What a call may need beyond its own deadline to come back and say so."""
STREAM_TICK = timedelta(milliseconds=500)
"""How often a stream in which nothing comes is looked at."""
_HEALTH_DEADLINE = timedelta(seconds=2)

_SAYS_NOTHING_OF_THE_TOKEN = {Kind.UNAUTHENTICATED, Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.CANCELLED, Kind.INTERNAL}

_token: ContextVar[str | None] = ContextVar("forwarded_token", default=None)


@dataclass(frozen=True, slots=True)
class Clients:
    """One client of each service, on channels of their own."""

    coordinator: CoordinatorClient
    safety: SafetyClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Which services say of themselves that they serve."""

    coordinator: bool
    safety: bool
    runners: dict[str, bool]
    """The runners of this machine, by name; one that was killed is False until it is started again."""


class Services:
    """Everything that the gateway asks; made once per process, used from every thread."""

    def __init__(self, workspace: Workspace, *, channels: int, deadline: timedelta, clock: Clock) -> None:
        self._workspace = workspace
        self._clock = clock
        self._deadline = deadline
        self._loop = BackgroundLoop("gateway-calls")
        self._pool = self._loop.run(self._dial(channels), _SLACK)
        self._turns = itertools.cycle(self._pool)  # next() on it is one step of the interpreter: no lock needed

    def as_caller(self, token: str | None, *, source: str = "") -> CallerServices:
        """The services as one request sees them: its token and where it came from go along, its deadline begins now."""
        return CallerServices(self, token, source, self._clock.boottime() + self._deadline.total_seconds())

    def serving(self) -> Serving:
        """Asks each service for its health, which needs no token; takes at most 2 s."""
        return self._loop.run(self._look(), _HEALTH_DEADLINE + _SLACK)

    def close(self) -> None:
        """Ends what is under way and closes the channels."""
        self._loop.run(self._hang_up(), _SLACK)
        self._loop.close()

    def remaining(self, until: float) -> timedelta:
        """What is left of a request's time; raises TimedOut when nothing is."""
        left = until - self._clock.boottime()
        if left <= 0:
            raise TimedOut("deadline_exceeded", "The services did not answer in time.")
        return timedelta(seconds=left)

    def run(self, work: Coroutine[Any, Any, T], deadline: timedelta) -> T:
        """Runs one coroutine on the loop of the calls."""
        return self._loop.run(work, deadline + _SLACK)

    def iterate(self, items: AsyncGenerator[T, None]) -> Generator[T | None, None, None]:
        """Yields what a stream yields, and None at each tick."""
        yield from self._loop.iterate(items, tick=STREAM_TICK)

    def next_clients(self) -> Clients:
        """The clients whose turn it is."""
        return next(self._turns)

    async def _dial(self, channels: int) -> list[Clients]:
        coordinator, safety = self._workspace.socket("coordinator"), self._workspace.socket("safety")
        return [
            Clients(
                CoordinatorClient.dial(coordinator, token=_token.get),
                SafetyClient.dial(safety, token=_token.get),
            )
            for _ in range(channels)
        ]

    async def _hang_up(self) -> None:
        for clients in self._pool:
            await clients.coordinator.close()
            await clients.safety.close()

    async def _look(self) -> Serving:
        sockets = sorted(self._workspace.sockets.glob("runner-*.sock"))
        paths = [self._workspace.socket("coordinator"), self._workspace.socket("safety"), *sockets]
        answers = await asyncio.gather(*(is_serving(path, deadline=_HEALTH_DEADLINE) for path in paths))
        runners = {path.stem.removeprefix("runner-"): answer for path, answer in zip(sockets, answers[2:], strict=True)}
        return Serving(coordinator=answers[0], safety=answers[1], runners=runners)


class CallerServices:
    """The services in the name of one caller, within one request's time."""

    def __init__(self, services: Services, token: str | None, source: str, until: float) -> None:
        self._services = services
        self._token = token
        self._source = source
        self._until = until
        self.verified = False
        """Whether a service has found the token good during this request."""

    def coordinator(self, work: Callable[[CoordinatorClient, timedelta], Coroutine[Any, Any, T]]) -> T:
        """What the coordinator answers; `work` is handed the time that is left. Raises QuantumError."""
        return self._ask("coordinator", lambda clients, left: work(clients.coordinator, left))

    def safety(self, work: Callable[[SafetyClient, timedelta], Coroutine[Any, Any, T]]) -> T:
        """What safety answers; `work` is handed the time that is left. Raises QuantumError."""
        return self._ask("safety service", lambda clients, left: work(clients.safety, left))

    def stream(self, open_: Callable[[CoordinatorClient], AsyncGenerator[T, None]]) -> Generator[T | None, None, None]:
        """The items of a stream of the coordinator, and None at each tick; closing the generator ends the stream."""
        items = _as(self._token, open_(self._services.next_clients().coordinator))
        for item in self._services.iterate(items):
            self.verified |= item is not None
            yield item

    def _ask(self, name: str, work: Callable[[Clients, timedelta], Coroutine[Any, Any, T]]) -> T:
        left = self._services.remaining(self._until)

        async def in_their_name() -> T:
            _token.set(self._token)
            with calling_from(self._source):
                return await work(self._services.next_clients(), left)

        try:
            answer = self._services.run(in_their_name(), left)
        except QuantumError as error:
            self.verified |= error.kind not in _SAYS_NOTHING_OF_THE_TOKEN
            raise _named(name, error) from error
        self.verified = True
        return answer


async def _as(token: str | None, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same items, asked for in the name of a token: each step may run in a context of its own."""
    try:
        while True:
            _token.set(token)
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            yield item
    finally:
        await items.aclose()


def _named(name: str, error: QuantumError) -> QuantumError:
    """An error that says which service is meant, and leaves the socket's path out."""
    if error.code != "unreachable":
        return error
    return Unavailable(
        f"{name.split()[0]}_unreachable",
        f"The {name} cannot be reached.",
        remedy=error.remedy,
        retry_after=error.retry_after,
    )
