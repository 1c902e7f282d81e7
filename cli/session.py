"""What one invocation of the command line works with: the workspace, the user's token, and open clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from foundation.clock import Clock, SystemClock
from foundation.errors import NotFound, QuantumError, Unavailable
from foundation.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from clients.coordinator import CoordinatorClient
    from clients.runner import RunnerClient
    from clients.safety import SafetyClient
    from foundation.loop import BackgroundLoop
    from foundation.secrets import SecretStore

T = TypeVar("T")
CALL_TIMEOUT = timedelta(seconds=35)
"""A little more than a client's own deadline, so that its error, which says more, comes first."""
BULK_DEADLINE = timedelta(minutes=10)
"""For what may concern a million tasks. The service goes on also when nobody waits any more."""
BULK_TIMEOUT = BULK_DEADLINE + timedelta(seconds=5)


class Closing(Protocol):
    """A client."""

    async def close(self) -> None:
        """End what is under way."""
        ...


C = TypeVar("C", bound=Closing)


@dataclass(kw_only=True)
class Session:
    """Opened lazily. Only verbs that need a secret pay for the keychain, only those that call a service for gRPC."""

    environ: Mapping[str, str]
    cwd: Path
    clock: Clock = field(default_factory=SystemClock)
    in_emergency: bool = False
    """What ends things must not depend on what ends well: a restore that cannot be brought to its end is left so."""

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace, a restore that was cut short brought to its end; raises NotFound naming `quantum init`."""
        found = find_workspace(self.environ, self.cwd)
        if found.restore_journal.exists():
            from cli.workspace.settling import settle

            try:
                settle(found, self.environ)
            except (QuantumError, OSError):
                if not self.in_emergency:
                    raise
        return found

    @cached_property
    def secrets(self) -> SecretStore:
        """Where this workspace's secrets lie."""

        return self.secrets_of(self.workspace)

    def secrets_of(self, workspace: Workspace) -> SecretStore:
        """Where the secrets of a workspace lie that need not be the one we are in."""
        from foundation.secrets import open_secret_store

        return open_secret_store(workspace, self.environ)

    @cached_property
    def token(self) -> str:
        """The user's token from the keychain. Raises NotFound with the line that makes one."""
        from foundation.secrets import USER_TOKEN, user_account

        if not self.workspace.state.is_dir():
            raise NotFound(
                "not_initialised",
                f"{self.workspace.root} has no token yet: its first start is still to come.",
                remedy=f"quantum init {self.workspace.root}",
            )
        token = self.secrets.get(USER_TOKEN, user_account(self.workspace))
        if token is None:
            raise NotFound(
                "no_token",
                f"There is no token for {self.workspace.root} in {self.secrets.describe}.",
                remedy=f"quantum init {self.workspace.root}",
            )
        return token

    @contextmanager
    def connected(self) -> Iterator[Connected]:
        """Clients over this workspace's sockets, with the user's token."""
        from foundation.loop import BackgroundLoop

        # Both before a loop is started: who has no workspace or no token needs none.
        token, workspace = self.token, self.workspace
        with BackgroundLoop("cli") as loop:
            connected = Connected(workspace, token, loop)
            try:
                yield connected
            finally:
                connected.close()


class Connected:
    """Drives the asynchronous clients from a command that is not."""

    def __init__(self, workspace: Workspace, token: str, loop: BackgroundLoop) -> None:
        self._workspace = workspace
        self._token = token
        self._loop = loop
        self._opened: list[Closing] = []
        self._runners: dict[str, RunnerClient] = {}

    @cached_property
    def coordinator(self) -> CoordinatorClient:
        """The coordinator's client; it connects with its first call."""
        from clients.coordinator import CoordinatorClient

        return self._open(CoordinatorClient.dial, "coordinator")

    @cached_property
    def safety(self) -> SafetyClient:
        """Safety's client; it connects with its first call."""
        from clients.safety import SafetyClient

        return self._open(SafetyClient.dial, "safety")

    def runner(self, name: str) -> RunnerClient:
        """The client of a runner's own door; `name` is its socket's, `runner-<name>`."""
        from clients.runner import RunnerClient

        if name not in self._runners:
            self._runners[name] = self._open(RunnerClient.dial, name)
        return self._runners[name]

    def serves(self, name: str) -> bool:
        """Whether the server at a socket says that it serves; False also when nobody answers."""
        from clients.health import is_serving

        return self.call(is_serving(self._workspace.socket(name), deadline=timedelta(seconds=2)))

    def call(self, work: Coroutine[Any, Any, T], timeout: timedelta = CALL_TIMEOUT) -> T:
        """Run one call to its end. Raises the service's QuantumError; for one that is away, with what to do."""
        try:
            return self._loop.run(work, timeout)
        except Unavailable as error:
            raise self._with_remedy(error) from error

    def stream(self, items: AsyncIterator[T], *, tick: timedelta) -> Iterator[T | None]:
        """Walk a stream; None whenever nothing came for `tick`. Leaving the loop ends it."""
        try:
            yield from self._loop.iterate(items, tick=tick)
        except Unavailable as error:
            raise self._with_remedy(error) from error

    def close(self) -> None:
        """Close every client that was opened."""
        for client in self._opened:
            self._loop.run(client.close(), CALL_TIMEOUT)

    def _open(self, dial: Callable[..., C], name: str) -> C:
        token, target = self._token, self._workspace.socket(name)
        if not target.exists():
            raise Unavailable(
                "not_running",
                f"The {name} of {self._workspace.root} does not run.",
                remedy="quantum up --detach starts everything; quantum status shows what runs.",
            )

        async def make() -> C:
            return dial(target, token=lambda: token)

        client = self._loop.run(make(), CALL_TIMEOUT)
        self._opened.append(client)
        return client

    def _with_remedy(self, error: Unavailable) -> QuantumError:
        if error.remedy:
            return error
        remedy = "quantum status shows what runs; quantum up --detach starts everything."
        return Unavailable(error.code, error.message, remedy=remedy, retry_after=error.retry_after)
