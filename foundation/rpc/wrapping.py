"""Puts a concern round the handlers of a server, of all four kinds, once, when they are registered.

Not a server interceptor: grpc would walk a chain of those and build the handlers anew for every call.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
import grpc.aio

from foundation.rpc.concerns import Call, Concern

# Quoted: generic in their type stubs only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def wrap(handler: Handler, method: str, concern: Concern) -> Handler:
    """Return a handler of the same kind that runs within `concern`."""
    kind = (
        "stream" if handler.request_streaming else "unary",
        "stream" if handler.response_streaming else "unary",
    )
    name = "_".join(kind)
    behaviour = getattr(handler, name)
    around = _around_stream if handler.response_streaming else _around_unary
    make: Any = getattr(grpc, f"{name}_rpc_method_handler")
    wrapped: Handler = make(
        around(behaviour, method, concern, streaming="stream" in kind),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return wrapped


def _around_unary(behaviour: Any, method: str, concern: Concern, *, streaming: bool) -> Any:
    async def handle(request: Any, context: Context) -> Any:
        async with concern(Call(method=method, streaming=streaming, context=context)):
            return await behaviour(request, context)

    return handle


def _around_stream(behaviour: Any, method: str, concern: Concern, *, streaming: bool) -> Any:
    # A coroutine that writes, not a generator: grpc leaves a cancelled generator to the garbage collector,
    # which would run the servicer's clean-up late and in another context.
    async def handle(request: Any, context: Context) -> None:
        async with concern(Call(method=method, streaming=streaming, context=context)):
            replies = behaviour(request, context)
            if inspect.isawaitable(replies):
                await replies
            else:
                await _write_all(replies, context)

    return handle


async def _write_all(replies: AsyncIterator[Any], context: Context) -> None:
    if inspect.isasyncgen(replies):
        async with aclosing(replies):
            async for reply in replies:
                await context.write(reply)
    else:
        async for reply in replies:
            await context.write(reply)
