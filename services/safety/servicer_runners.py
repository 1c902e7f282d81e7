"""Runners on other hosts, on the wire: decode, delegate, encode."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc.aio

from foundation.auth import current_caller
from foundation.errors import Invalid
from protos.safety.v1 import runners_pb2, runners_pb2_grpc
from services.safety import convert
from services.safety.app.runners import Runners

# Quoted: generic in their type stubs only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class RunnerAccessServicer(runners_pb2_grpc.RunnerAccessServiceServicer):
    """Invite, join, renew, remove."""

    def __init__(self, runners: Runners) -> None:
        self._runners = runners

    async def InviteRunner(
        self, request: runners_pb2.InviteRunnerRequest, context: Context
    ) -> runners_pb2.InviteRunnerResponse:
        """Make an invitation and show it once."""
        made = await self._runners.invite(request.name, request.lifetime.ToTimedelta(), replacing=request.replace)
        return runners_pb2.InviteRunnerResponse(
            info=convert.token_out(made.token.record), token=made.token.text, identity=made.identity
        )

    async def JoinRunner(
        self, request: runners_pb2.JoinRunnerRequest, context: Context
    ) -> runners_pb2.JoinRunnerResponse:
        """Make the holder of an invitation a runner."""
        joined = await self._runners.join(current_caller(), request.name, _asked(request.certificate_request))
        return runners_pb2.JoinRunnerResponse(
            certificate=joined.certificate, info=convert.token_out(joined.token.record), token=joined.token.text
        )

    async def RenewRunner(
        self, request: runners_pb2.RenewRunnerRequest, context: Context
    ) -> runners_pb2.RenewRunnerResponse:
        """Give the runner that calls a new certificate."""
        certificate = await self._runners.renew(current_caller(), _asked(request.certificate_request))
        return runners_pb2.RenewRunnerResponse(certificate=certificate)

    async def RemoveRunner(
        self, request: runners_pb2.RemoveRunnerRequest, context: Context
    ) -> runners_pb2.RemoveRunnerResponse:
        """Revoke what a runner holds."""
        revoked = await self._runners.remove(request.name)
        return runners_pb2.RemoveRunnerResponse(tokens=map(convert.token_out, revoked))


def _asked(request: bytes) -> bytes:
    if not request:
        raise Invalid("not_a_request", "There is no request for a certificate in that.")
    return request
