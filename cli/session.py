"""What one invocation of the command line works with: the workspace, the user's token, and open clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from foundation.clock import Clock, SystemClock
from foundation.errors import NotFound
from foundation.secrets import USER_TOKEN, SecretStore, open_secret_store, user_account
from foundation.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from clients.coordinator import CoordinatorClient
    from clients.safety import SafetyClient
    from foundation.loop import BackgroundLoop

T = TypeVar("T")
CALL_TIMEOUT = timedelta(seconds=30)


@dataclass(slots=False, kw_only=True)
class Session:
    """Opened lazily, closed by `connected`. Only verbs that call a service pay for gRPC."""

    environ: Mapping[str, str]
    cwd: Path
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace; raises NotFound naming `quantum init`."""
        return find_workspace(self.environ, self.cwd)

    @cached_property
    def secrets(self) -> SecretStore:
        return open_secret_store(self.workspace, self.environ)

    def token(self) -> str:
        """The user's token from the keychain. Raises NotFound with the line that makes one."""
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
        """Clients of the coordinator and of safety, over this workspace's sockets, with the user's token."""
        from foundation.loop import BackgroundLoop

        with BackgroundLoop("cli") as loop:
            connected = Connected(self, loop)
            try:
                yield connected
            finally:
                connected.close()


class Connected:
    """Drives the asynchronous clients from a command that is not."""

    def __init__(self, session: Session, loop: BackgroundLoop) -> None:
        self._session = session
        self._loop = loop

    @cached_property
    def coordinator(self) -> CoordinatorClient:
        from clients.coordinator import CoordinatorClient

        return self._open(CoordinatorClient.dial, "coordinator")

    @cached_property
    def safety(self) -> SafetyClient:
        from clients.safety import SafetyClient

        return self._open(SafetyClient.dial, "safety")

    def _open(self, dial: Callable[..., T], name: str) -> T:
        token, target = self._session.token(), self._session.workspace.socket(name)

        async def make() -> T:
            return dial(target, token=lambda: token)

        return self._loop.run(make(), CALL_TIMEOUT)

    def call(self, work: Coroutine[Any, Any, T], timeout: timedelta = CALL_TIMEOUT) -> T:
        """Run one call to its end. Raises the service's QuantumError."""
        return self._loop.run(work, timeout)

    def stream(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Walk a stream; leaving the loop ends it."""
        return self._loop.iterate(items)

    def close(self) -> None:
        for name in ("coordinator", "safety"):
            if name in self.__dict__:
                self._loop.run(self.__dict__[name].close(), CALL_TIMEOUT)
