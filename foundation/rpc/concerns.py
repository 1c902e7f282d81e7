"""What stands round every handler: request log, errors, token and scope, deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc.aio

from foundation.auth import ATTEMPT, PUBLIC, TokenVerifier, allows, calling_as
from foundation.clock import Clock
from foundation.errors import Denied, Internal, Invalid, QuantumError, Unauthenticated, Unavailable
from foundation.ids import Ids
from foundation.log import Logger
from foundation.rpc.channel import SOURCE_KEY, TOKEN_KEY
from foundation.rpc.status import DETAILS_KEY, code_of, to_status


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call that is being answered; `streaming` when either side sends more than one message."""

    method: str
    streaming: bool
    context: grpc.aio.ServicerContext[Any, Any]


_TOKEN_LOOKED_AT_EVERY_SECONDS = 0.5

Concern = Callable[[Call], AbstractAsyncContextManager[None]]


def log_requests(logger: Logger, clock: Clock) -> Concern:
    """Write one debug line per call, with its code and how long it took."""

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        began = clock.boottime()
        try:
            yield
        finally:
            milliseconds = round((clock.boottime() - began) * 1000, 1)
            code = _code_name(call.context)
            logger.debug(
                f"{call.method} ended.",
                action="rpc",
                method=call.method,
                code=code,
                milliseconds=milliseconds,
            )

    return around


def _code_name(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    code: Any = context.code()
    return str(getattr(code, "name", None) or ("OK" if code in (None, 0) else code))


def answer_errors(logger: Logger, ids: Ids, stopping: asyncio.Event) -> Concern:
    """Turn every exception into a rich status; the unexpected shows an incident id and nothing else."""

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        try:
            yield
        except grpc.aio.AbortError:
            raise
        except QuantumError as error:
            if error.kind is error.kind.INTERNAL:
                logger.exception(error.message, action="rpc_internal_error", error=error, method=call.method)
            await _abort(call, error)
        except asyncio.CancelledError:
            if not stopping.is_set() or call.context.cancelled():
                raise
            # The server ends its open streams before it stops; their callers hear why, and dial again.
            await _abort(call, Unavailable("server_stopping", "The service is stopping."))
        except Exception as error:
            incident = ids.new()
            logger.exception(
                f"{call.method} failed unexpectedly.",
                action="rpc_incident",
                error=error,
                incident=incident,
                method=call.method,
            )
            await _abort(call, _unexpected(incident))

    return around


def _unexpected(incident: str) -> Internal:
    return Internal(
        "unexpected",
        f"Something went wrong inside the service (incident {incident}).",
        remedy=f"Look for {incident} in logs/system.log.",
    )


async def _abort(call: Call, error: QuantumError) -> None:
    status = to_status(error)
    details = ((DETAILS_KEY, status.SerializeToString()),)
    await call.context.abort(code_of(error.kind), status.message, trailing_metadata=details)


def authenticate(tokens: TokenVerifier, scopes: Mapping[str, str], attempts: TokenVerifier | None = None) -> Concern:
    """Let a call through when its token has the method's scope; `current_caller()` is the holder inside.

    `attempts` is asked, and it alone, about what comes to methods of the scope "attempt": credentials open no other
    door, and tokens not this one.

    A stream may stay open for days, so its token is looked at again and again: it ends with the token.
    """

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        scope = scopes[call.method]
        if scope == PUBLIC:
            yield
            return
        verifier = attempts if attempts is not None and scope == ATTEMPT else tokens
        token = _token(call)
        caller = await verifier.verify(token)
        if not allows(caller.scopes, scope):
            raise Denied(
                "scope_missing",
                f"The token of {caller.name} does not have the scope '{scope}', which {call.method} needs.",
            )
        with calling_as(caller, source=_source(call)):
            if call.streaming:
                async with _while_good(verifier, token):
                    yield
            else:
                yield

    return around


@asynccontextmanager
async def _while_good(verifier: TokenVerifier, token: str) -> AsyncIterator[None]:
    """End the block with Unauthenticated soon after the token has become worthless.

    That nobody can tell just now ends nothing: a stream is how runners hear of cancels.
    """
    handler = asyncio.current_task()
    assert handler is not None, "a call is answered in a task"
    refused: list[Unauthenticated] = []

    async def watch() -> None:
        while not refused:
            await asyncio.sleep(_TOKEN_LOOKED_AT_EVERY_SECONDS)
            try:
                await verifier.verify(token)
            except Unauthenticated as error:
                refused.append(error)
                handler.cancel()
            except QuantumError:
                continue

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not refused:
            raise
        handler.uncancel()
        raise refused[0] from None
    finally:
        watching.cancel()


def _source(call: Call) -> str:
    """Where a call comes from: what the connection shows, and what the caller says of itself."""
    peer = unquote(call.context.peer()) or "unknown"
    said = next((value for key, value in call.context.invocation_metadata() or () if key == SOURCE_KEY), "")
    peer = "the local socket" if peer.startswith("unix:") else peer
    return f"{said} by {peer}" if isinstance(said, str) and said else peer


def _token(call: Call) -> str:
    for key, value in call.context.invocation_metadata() or ():
        if key == TOKEN_KEY and isinstance(value, str) and value:
            return value
    raise Unauthenticated(
        "token_missing",
        f"{call.method} needs a token in the metadata {TOKEN_KEY}.",
        remedy="`quantum token show` prints yours.",
    )


def require_deadline() -> Concern:
    """Refuse a unary call without a deadline, which could hang its caller for ever; streams may stay open."""

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        if not call.streaming and call.context.time_remaining() is None:
            raise Invalid("deadline_missing", f"{call.method} needs a deadline.", remedy="Set a timeout on the call.")
        yield

    return around
