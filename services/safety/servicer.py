"""Safety's four services on the wire: decode, delegate, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import repeat
from typing import Any, TypeAlias

import grpc.aio

from foundation.auth import current_caller
from foundation.tokens import mask
from protos.safety.v1 import (
    admission_pb2,
    admission_pb2_grpc,
    breakers_pb2,
    breakers_pb2_grpc,
    mode_pb2,
    mode_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
)
from services.safety import convert
from services.safety.app.admit import Admission
from services.safety.app.breakers import Breakers
from services.safety.app.mode import Modes
from services.safety.app.tokens import Tokens
from services.safety.domain.mode import Mode

# Quoted: generic in their type stubs only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AdmissionServicer(admission_pb2_grpc.AdmissionServiceServicer):
    """Admission on the wire."""

    def __init__(self, admission: Admission, tokens: Tokens) -> None:
        self._admission = admission
        self._tokens = tokens

    async def Admit(
        self, requests: AsyncIterator[admission_pb2.AdmitRequest], context: Context
    ) -> AsyncIterator[admission_pb2.AdmitResponse]:
        """Let the caller in, then answer one batch after the other while its token is good."""
        yield await self._admit(admission_pb2.AdmitRequest())
        async for request in requests:
            self._tokens.require_good(current_caller())
            yield await self._admit(request)

    async def _admit(self, request: admission_pb2.AdmitRequest) -> admission_pb2.AdmitResponse:
        """Take outcomes in, decide on candidates."""
        answer = await self._admission.admit(
            convert.outcomes_in(request.outcomes), convert.candidates_in(request.candidates)
        )
        return admission_pb2.AdmitResponse(
            decisions=map(convert.decision_out, answer.decisions, answer.credentials or repeat("")),
            mode=answer.mode.name,
            epoch=answer.epoch,
            retries_halved=answer.retries_halved,
        )

    async def Renew(self, request: admission_pb2.RenewRequest, context: Context) -> admission_pb2.RenewResponse:
        """Say which running attempts may go on."""
        answer = await self._admission.renew([convert.key_in(attempt) for attempt in request.attempts])
        return admission_pb2.RenewResponse(
            renewals=map(convert.renewal_out, answer.renewals), mode=answer.mode.name, epoch=answer.epoch
        )

    async def IdentifyAttempt(
        self, request: admission_pb2.IdentifyAttemptRequest, context: Context
    ) -> admission_pb2.IdentifyAttemptResponse:
        """Say whose a credential is."""
        task, fence = self._admission.identify(request.credential)
        return admission_pb2.IdentifyAttemptResponse(attempt=admission_pb2.AttemptKey(task_id=task, fence=fence))


class BreakerServicer(breakers_pb2_grpc.BreakerServiceServicer):
    """Breakers on the wire."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers

    async def ListBreakers(
        self, request: breakers_pb2.ListBreakersRequest, context: Context
    ) -> breakers_pb2.ListBreakersResponse:
        """List them with their history."""
        views = await self._breakers.list(not_closed=request.not_closed)
        return breakers_pb2.ListBreakersResponse(breakers=map(convert.breaker_out, views))

    async def ForceOpenBreaker(
        self, request: breakers_pb2.ForceOpenBreakerRequest, context: Context
    ) -> breakers_pb2.ForceOpenBreakerResponse:
        """Hold one open."""
        view = await self._breakers.force_open(request.scope, reason=mask(request.reason), actor=current_caller().name)
        return breakers_pb2.ForceOpenBreakerResponse(breaker=convert.breaker_out(view))

    async def ForceCloseBreaker(
        self, request: breakers_pb2.ForceCloseBreakerRequest, context: Context
    ) -> breakers_pb2.ForceCloseBreakerResponse:
        """Hold one closed for a time."""
        lasting = request.for_duration.ToTimedelta() if request.HasField("for_duration") else None
        view = await self._breakers.force_closed(
            request.scope, lasting=lasting, reason=mask(request.reason), actor=current_caller().name
        )
        return breakers_pb2.ForceCloseBreakerResponse(breaker=convert.breaker_out(view))

    async def ResetBreaker(
        self, request: breakers_pb2.ResetBreakerRequest, context: Context
    ) -> breakers_pb2.ResetBreakerResponse:
        """Close one and forget its counts."""
        view = await self._breakers.reset(request.scope, reason=mask(request.reason), actor=current_caller().name)
        return breakers_pb2.ResetBreakerResponse(breaker=convert.breaker_out(view))


class ModeServicer(mode_pb2_grpc.ModeServiceServicer):
    """The mode on the wire."""

    def __init__(self, modes: Modes) -> None:
        self._modes = modes

    async def GetMode(self, request: mode_pb2.GetModeRequest, context: Context) -> mode_pb2.GetModeResponse:
        """The mode that holds."""
        return mode_pb2.GetModeResponse(status=convert.mode_out(self._modes.get()))

    async def TightenMode(self, request: mode_pb2.TightenModeRequest, context: Context) -> mode_pb2.TightenModeResponse:
        """Make it stricter."""
        change = await self._modes.tighten(
            convert.mode_in(request.mode), reason=mask(request.reason), actor=current_caller().name
        )
        return mode_pb2.TightenModeResponse(status=convert.mode_out(change.status), changed=change.changed)

    async def ResumeMode(self, request: mode_pb2.ResumeModeRequest, context: Context) -> mode_pb2.ResumeModeResponse:
        """Go back to NORMAL, or to the rung that is named."""
        to = convert.mode_in(request.mode) if request.mode else Mode.NORMAL
        change = await self._modes.resume(to, reason=mask(request.reason), actor=current_caller().name)
        return mode_pb2.ResumeModeResponse(status=convert.mode_out(change.status), changed=change.changed)


class TokenServicer(tokens_pb2_grpc.TokenServiceServicer):
    """Tokens on the wire."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def ValidateToken(
        self, request: tokens_pb2.ValidateTokenRequest, context: Context
    ) -> tokens_pb2.ValidateTokenResponse:
        """Say who holds a token."""
        record = self._tokens.validate(request.token)
        return tokens_pb2.ValidateTokenResponse(token=convert.token_out(record), revocation=self._tokens.revocation)

    async def IssueToken(
        self, request: tokens_pb2.IssueTokenRequest, context: Context
    ) -> tokens_pb2.IssueTokenResponse:
        """Make a token and show it once."""
        lifetime = request.lifetime.ToTimedelta() if request.HasField("lifetime") else None
        issued = await self._tokens.issue(request.name, request.scopes, lifetime)
        return tokens_pb2.IssueTokenResponse(info=convert.token_out(issued.record), token=issued.text)

    async def RotateToken(
        self, request: tokens_pb2.RotateTokenRequest, context: Context
    ) -> tokens_pb2.RotateTokenResponse:
        """Make a successor of the caller's own token and show it once."""
        issued = await self._tokens.rotate(current_caller().token_id)
        return tokens_pb2.RotateTokenResponse(info=convert.token_out(issued.record), token=issued.text)

    async def ConfirmRotation(
        self, request: tokens_pb2.ConfirmRotationRequest, context: Context
    ) -> tokens_pb2.ConfirmRotationResponse:
        """The caller's token takes the place of the one before it."""
        replaced = await self._tokens.confirm(current_caller().token_id)
        return tokens_pb2.ConfirmRotationResponse(replaced=convert.token_out(replaced) if replaced else None)

    async def ListTokens(
        self, request: tokens_pb2.ListTokensRequest, context: Context
    ) -> tokens_pb2.ListTokensResponse:
        """List all tokens, without their text."""
        return tokens_pb2.ListTokensResponse(tokens=map(convert.token_out, self._tokens.list()))

    async def RevokeToken(
        self, request: tokens_pb2.RevokeTokenRequest, context: Context
    ) -> tokens_pb2.RevokeTokenResponse:
        """Make a token worthless."""
        record = await self._tokens.revoke(request.id)
        return tokens_pb2.RevokeTokenResponse(token=convert.token_out(record))

    async def WatchRevocations(
        self, request: tokens_pb2.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[tokens_pb2.WatchRevocationsResponse]:
        """Beat with the revocation number until the caller or the server goes."""
        async for revocation in self._tokens.watch_revocations():
            yield tokens_pb2.WatchRevocationsResponse(revocation=revocation)
