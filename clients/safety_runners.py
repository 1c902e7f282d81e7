"""The client for runners on other hosts, over a channel to safety."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc.aio

from clients.calling import DEADLINE, ask
from clients.safety_convert import token_from
from clients.safety_values import IssuedToken, TokenView
from clients.wire_values import to_duration
from protos.safety.v1 import runners_pb2, runners_pb2_grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationView:
    """An invitation: a token that is good once, and the identity (PEM) with which one gets as far as showing it."""

    issued: IssuedToken
    identity: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedView:
    """What has become of an invitation: a certificate and the authority's (PEM), and a credential."""

    certificate: bytes
    issued: IssuedToken


class RunnerAccessClient:
    """Every method raises QuantumError alone, as SafetyClient's do."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel belongs to whoever opened it."""
        self._access = runners_pb2_grpc.RunnerAccessServiceStub(channel)

    async def invite(
        self, name: str, lifetime: timedelta, *, replace: bool = False, deadline: timedelta = DEADLINE
    ) -> InvitationView:
        """Makes an invitation. Raises Invalid, NotFound without an authority, Conflict for a runner that is there."""
        request = runners_pb2.InviteRunnerRequest(name=name, lifetime=to_duration(lifetime), replace=replace)
        answer = await ask(self._access.InviteRunner, request, deadline)
        issued = IssuedToken(token=token_from(answer.info), text=answer.token)
        return InvitationView(issued=issued, identity=answer.identity)

    async def join(self, name: str, request: bytes, *, deadline: timedelta = DEADLINE) -> JoinedView:
        """Uses the caller's invitation up. Raises Denied for another name, Unauthenticated when it has ended."""
        asked = runners_pb2.JoinRunnerRequest(name=name, certificate_request=request)
        answer = await ask(self._access.JoinRunner, asked, deadline)
        issued = IssuedToken(token=token_from(answer.info), text=answer.token)
        return JoinedView(certificate=answer.certificate, issued=issued)

    async def renew(self, request: bytes, *, deadline: timedelta = DEADLINE) -> bytes:
        """A new certificate for the runner that calls, and the authority's, PEM."""
        asked = runners_pb2.RenewRunnerRequest(certificate_request=request)
        answer = await ask(self._access.RenewRunner, asked, deadline)
        return answer.certificate

    async def remove(self, name: str, *, deadline: timedelta = DEADLINE) -> Sequence[TokenView]:
        """Revokes what a runner holds, which is returned. Raises NotFound when it holds nothing."""
        answer = await ask(self._access.RemoveRunner, runners_pb2.RemoveRunnerRequest(name=name), deadline)
        return tuple(map(token_from, answer.tokens))
