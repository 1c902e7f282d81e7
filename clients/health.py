"""Asks a service whether it serves; needs no token."""

from __future__ import annotations

from datetime import timedelta

from grpc_health.v1 import health_pb2, health_pb2_grpc

from clients.calling import DEADLINE, ask
from foundation.errors import QuantumError
from foundation.rpc.channel import Target, open_channel


async def is_serving(target: Target, *, deadline: timedelta = DEADLINE) -> bool:
    """Whether the server at a socket or `host:port` says that it serves; False when it cannot be reached in time."""
    channel = open_channel(target, token=lambda: None)
    try:
        request = health_pb2.HealthCheckRequest()
        answer = await ask(health_pb2_grpc.HealthStub(channel).Check, request, deadline)
    except QuantumError:
        return False
    else:
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    finally:
        await channel.close()
