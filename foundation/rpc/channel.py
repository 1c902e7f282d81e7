"""Opens channels that carry the caller's token, and turns what fails on them into our errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from foundation.auth import said_source
from foundation.errors import Unavailable
from foundation.identity import Identity, server_name
from foundation.rpc.limits import CHANNEL_OPTIONS, Options
from foundation.rpc.status import from_rpc_error

TOKEN_KEY = "x-auth-token"
SOURCE_KEY = "x-quantum-source"
TokenSource = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """A server beyond this machine's sockets: its `host:port`, the role that it must show, and who we are."""

    address: str
    role: str
    identity: Identity


Target = Path | TcpTarget


def open_channel(target: Target, *, token: TokenSource, retry: Sequence[str] = ()) -> grpc.aio.Channel:
    """Open a channel to a socket (a path), or over TCP with TLS 1.3; it connects with the first call.

    `token` is asked at each call; None sends none. `retry` names the idempotent methods, like
    `/quantum.safety.v1.Safety/GetMode`, that grpc may send again when the server was not reached.
    """
    options: Options = (*CHANNEL_OPTIONS, ("grpc.service_config", _service_config(retry)))
    if isinstance(target, Path):
        return TokenChannel(grpc.aio.insecure_channel(f"unix:{target}", options=options), token)
    identity = target.identity
    credentials = grpc.ssl_channel_credentials(identity.authority, identity.key, identity.certificate)
    options = (*options, ("grpc.ssl_target_name_override", server_name(target.role)))
    return TokenChannel(grpc.aio.secure_channel(target.address, credentials, options=options), token)


@contextmanager
def translate() -> Iterator[None]:
    """Raise a QuantumError for whatever grpc raises within the block; a cancellation passes as it is."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    except grpc.aio.UsageError as error:
        raise Unavailable("channel_closed", f"The channel is closed: {error}.") from error


def _service_config(retry: Sequence[str]) -> str:
    names = [dict(zip(("service", "method"), method.lstrip("/").split("/"), strict=True)) for method in retry]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "1s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}] if names else []})


class TokenChannel(grpc.aio.Channel):
    """A channel that adds the token to each call's metadata.

    Not a client interceptor: those make a task per call and change how streams end.
    """

    def __init__(self, inner: grpc.aio.Channel, token: TokenSource) -> None:
        self._inner = inner
        self._token = token

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._inner.__aexit__(kind, error, trace)

    async def close(self, grace: float | None = None) -> None:
        """Close the channel; calls under way get `grace` seconds."""
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the connection."""
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Return when the state is another than the one given."""
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return when the channel is connected."""
        await self._inner.channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """One request, one reply."""
        return self._with_token(self._inner.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """One request, many replies."""
        return self._with_token(self._inner.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Many requests, one reply."""
        return self._with_token(self._inner.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Many requests, many replies."""
        return self._with_token(self._inner.stream_stream(*args, **kwargs))

    def _with_token(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def with_token(*args: Any, metadata: Any = None, **kwargs: Any) -> Any:
            token = self._token()
            if token is not None:
                metadata = (*(metadata or ()), (TOKEN_KEY, token))
            if said := said_source():
                metadata = (*(metadata or ()), (SOURCE_KEY, said))
            return call(*args, metadata=metadata, **kwargs)

        return with_token
