"""Safety's client: admission, breakers, the mode and tokens as plain asynchronous calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from datetime import timedelta

import grpc.aio

from clients.caching_verifier import CachingTokenVerifier as CachingTokenVerifier
from clients.calling import DEADLINE, Client, ask, listen, repeatable
from clients.exchange import Exchange
from clients.safety_alerts import AlertClient
from clients.safety_audit import AuditClient
from clients.safety_budgets import BudgetClient
from clients.safety_convert import (
    admission_from,
    breaker_from,
    candidate_to,
    mode_from,
    mode_to,
    outcome_to,
    renewals_from,
    token_from,
)
from clients.safety_runners import RunnerAccessClient
from clients.safety_spend import SpendClient
from clients.safety_values import (
    Admission,
    BreakerView,
    Candidate,
    IssuedToken,
    ModeChange,
    ModeStatus,
    Outcome,
    Renewals,
    TokenView,
    Validation,
)
from clients.wire_values import to_duration
from protos.safety.v1 import (
    admission_pb2,
    admission_pb2_grpc,
    alerts_pb2,
    audit_pb2,
    breakers_pb2,
    breakers_pb2_grpc,
    budgets_pb2,
    mode_pb2,
    mode_pb2_grpc,
    snapshots_pb2,
    snapshots_pb2_grpc,
    spend_pb2,
    tokens_pb2,
    tokens_pb2_grpc,
)

_CONTRACTS = (admission_pb2, alerts_pb2, audit_pb2, breakers_pb2, budgets_pb2, mode_pb2, spend_pb2, tokens_pb2)


class SafetyClient(Client):
    """Speaks to safety over one channel; to be made and used inside one running loop.

    Every method raises QuantumError alone: Unavailable when safety is out of reach, TimedOut after `deadline`,
    Unauthenticated and Denied for the caller's own token, and what `protos/safety/v1` names.
    """

    sent_again = repeatable(file.DESCRIPTOR for file in _CONTRACTS)

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel is closed by `close`."""
        super().__init__(channel)
        self.alerts = AlertClient(channel)
        self.audit = AuditClient(channel)
        self.budgets = BudgetClient(channel)
        self.runners = RunnerAccessClient(channel)
        self.spend = SpendClient(channel)
        self._admission = admission_pb2_grpc.AdmissionServiceStub(channel)
        self._admit = Exchange(self._admission.Admit)
        self._breakers = breakers_pb2_grpc.BreakerServiceStub(channel)
        self._mode = mode_pb2_grpc.ModeServiceStub(channel)
        self._snapshots = snapshots_pb2_grpc.SnapshotServiceStub(channel)
        self._tokens = tokens_pb2_grpc.TokenServiceStub(channel)

    # Admission

    async def admit(
        self, outcomes: Sequence[Outcome], candidates: Sequence[Candidate], *, deadline: timedelta = DEADLINE
    ) -> Admission:
        """Tells what became of attempts, then asks for those that want to start; at most 1,000 of each."""
        request = admission_pb2.AdmitRequest(
            outcomes=map(outcome_to, outcomes), candidates=map(candidate_to, candidates)
        )
        return admission_from(await self._admit.ask(request, deadline))

    async def renew(self, attempts: Iterable[tuple[str, int]], *, deadline: timedelta = DEADLINE) -> Renewals:
        """Asks whether running attempts, each (task id, fence), may go on."""
        keys = [admission_pb2.AttemptKey(task_id=task_id, fence=fence) for task_id, fence in attempts]
        return renewals_from(await ask(self._admission.Renew, admission_pb2.RenewRequest(attempts=keys), deadline))

    async def identify_attempt(self, credential: str, *, deadline: timedelta = DEADLINE) -> tuple[str, int]:
        """Whose a credential is, as (task id, fence). Raises Unauthenticated for one of no running attempt."""
        request = admission_pb2.IdentifyAttemptRequest(credential=credential)
        attempt = (await ask(self._admission.IdentifyAttempt, request, deadline)).attempt
        return attempt.task_id, attempt.fence

    # Breakers

    async def list_breakers(
        self, *, not_closed: bool = False, deadline: timedelta = DEADLINE
    ) -> tuple[BreakerView, ...]:
        """The breakers by scope, with their history; `not_closed` leaves out the closed ones."""
        request = breakers_pb2.ListBreakersRequest(not_closed=not_closed)
        answer = await ask(self._breakers.ListBreakers, request, deadline)
        return tuple(map(breaker_from, answer.breakers))

    async def force_open(self, scope: str, *, reason: str, deadline: timedelta = DEADLINE) -> BreakerView:
        """Holds a scope until it is reset. Raises Invalid for what is no scope."""
        request = breakers_pb2.ForceOpenBreakerRequest(scope=scope, reason=reason)
        return breaker_from((await ask(self._breakers.ForceOpenBreaker, request, deadline)).breaker)

    async def force_closed(
        self, scope: str, *, lasting: timedelta, reason: str, deadline: timedelta = DEADLINE
    ) -> BreakerView:
        """Lets a scope through for a time of at most 7 days. Raises Invalid."""
        request = breakers_pb2.ForceCloseBreakerRequest(scope=scope, reason=reason, for_duration=to_duration(lasting))
        return breaker_from((await ask(self._breakers.ForceCloseBreaker, request, deadline)).breaker)

    async def reset_breaker(self, scope: str, *, reason: str = "", deadline: timedelta = DEADLINE) -> BreakerView:
        """Closes a breaker and forgets what it had counted. Raises NotFound where nothing was counted yet."""
        request = breakers_pb2.ResetBreakerRequest(scope=scope, reason=reason)
        return breaker_from((await ask(self._breakers.ResetBreaker, request, deadline)).breaker)

    # Mode

    async def get_mode(self, *, deadline: timedelta = DEADLINE) -> ModeStatus:
        """The mode that holds now."""
        return mode_from((await ask(self._mode.GetMode, mode_pb2.GetModeRequest(), deadline)).status)

    async def tighten_mode(self, mode: str, *, reason: str, deadline: timedelta = DEADLINE) -> ModeChange:
        """Makes the mode stricter (`GUARDED` … `STOPPED`). Raises Conflict for one that is less strict."""
        request = mode_pb2.TightenModeRequest(mode=mode_to(mode), reason=reason)
        answer = await ask(self._mode.TightenMode, request, deadline)
        return ModeChange(status=mode_from(answer.status), changed=answer.changed)

    async def resume_mode(
        self, mode: str = "NORMAL", *, reason: str = "", deadline: timedelta = DEADLINE
    ) -> ModeChange:
        """Goes back to a less strict mode, then clears the STOP file. Raises Conflict for one that is stricter."""
        request = mode_pb2.ResumeModeRequest(reason=reason, mode=mode_to(mode))
        answer = await ask(self._mode.ResumeMode, request, deadline)
        return ModeChange(status=mode_from(answer.status), changed=answer.changed)

    # Snapshots

    async def take_snapshot(self, backup_id: str, *, deadline: timedelta = DEADLINE) -> None:
        """Has safety's database copied into the workspace's folder of a backup. Raises Invalid, Conflict."""
        await ask(self._snapshots.TakeSnapshot, snapshots_pb2.TakeSnapshotRequest(backup_id=backup_id), deadline)

    # Tokens

    async def validate(self, token: str, *, deadline: timedelta = DEADLINE) -> Validation:
        """Who holds a token. Raises Unauthenticated, saying why, when it is not good."""
        answer = await ask(self._tokens.ValidateToken, tokens_pb2.ValidateTokenRequest(token=token), deadline)
        return Validation(token=token_from(answer.token), revocation=answer.revocation)

    async def issue_token(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        lifetime: timedelta | None = None,
        deadline: timedelta = DEADLINE,
    ) -> IssuedToken:
        """Makes a token; `lifetime` None does not expire by itself. Raises Invalid."""
        request = tokens_pb2.IssueTokenRequest(name=name, scopes=scopes, lifetime=to_duration(lifetime))
        answer = await ask(self._tokens.IssueToken, request, deadline)
        return IssuedToken(token=token_from(answer.info), text=answer.token)

    async def rotate_token(self, *, deadline: timedelta = DEADLINE) -> IssuedToken:
        """Makes a successor of the caller's own token; keep its text, then have the successor confirm."""
        answer = await ask(self._tokens.RotateToken, tokens_pb2.RotateTokenRequest(), deadline)
        return IssuedToken(token=token_from(answer.info), text=answer.token)

    async def confirm_rotation(self, *, deadline: timedelta = DEADLINE) -> TokenView | None:
        """Called with the successor: the token before it, which is returned, is good for the overlap only."""
        answer = await ask(self._tokens.ConfirmRotation, tokens_pb2.ConfirmRotationRequest(), deadline)
        return token_from(answer.replaced) if answer.HasField("replaced") else None

    async def list_tokens(self, *, deadline: timedelta = DEADLINE) -> tuple[TokenView, ...]:
        """Every token, the oldest first, the revoked ones too."""
        answer = await ask(self._tokens.ListTokens, tokens_pb2.ListTokensRequest(), deadline)
        return tuple(map(token_from, answer.tokens))

    async def revoke_token(self, token_id: str, *, deadline: timedelta = DEADLINE) -> TokenView:
        """Makes a token worthless. Raises NotFound."""
        request = tokens_pb2.RevokeTokenRequest(id=token_id)
        return token_from((await ask(self._tokens.RevokeToken, request, deadline)).token)

    async def watch_revocations(self) -> AsyncGenerator[int, None]:
        """The revocation number at once, at each beat of 250 ms and as soon as it grows; ends with the connection."""
        call = self._tokens.WatchRevocations(tokens_pb2.WatchRevocationsRequest())
        async with aclosing(listen(call)) as messages:
            async for message in messages:
                yield message.revocation
