"""Safety as dispatch sees it, over its client."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from clients import safety_values as values
from clients.safety import SafetyClient
from clients.safety_audit_values import ToldAct
from services.coordinator.ports_safety import Act, Admission, Candidate, OutboxEntry, PersonalAlert, Renewal, Verdict

# Dispatch waits for the answer, so a safety that hangs must not hold it for long: it is as good as gone.
ADMIT_DEADLINE = timedelta(seconds=5)
RENEW_DEADLINE = timedelta(seconds=2)
RENEWED_AT_ONCE_MAX = 5_000  # safety takes twice as many


AUDIT_DEADLINE = timedelta(seconds=5)


class ClientAuditLog:
    """Implements `ports.AuditLog`. An act's id is made of its moment and number: another one after a restore, too."""

    def __init__(self, client: SafetyClient) -> None:
        self._client = client

    async def record(self, acts: Sequence[Act]) -> None:
        await self._client.audit.record(map(_told, acts), deadline=AUDIT_DEADLINE)


class ClientBell:
    """Implements `ports.AlertBell`."""

    def __init__(self, client: SafetyClient) -> None:
        self._client = client

    async def ring(self, alert: PersonalAlert) -> None:
        await self._client.alerts.raise_(
            alert.cause, level=alert.level, sentence=alert.sentence, remedy=alert.remedy, deadline=AUDIT_DEADLINE
        )

    async def resolve(self, cause: str) -> None:
        await self._client.alerts.resolve(cause, deadline=AUDIT_DEADLINE)


class ClientGate:
    """Implements `ports.SafetyGate`. Raises Unavailable or TimedOut when safety cannot be asked."""

    def __init__(self, client: SafetyClient) -> None:
        self._client = client

    async def admit(self, outcomes: Sequence[OutboxEntry], candidates: Sequence[Candidate]) -> Admission:
        answer = await self._client.admit(
            [_outcome(entry) for entry in outcomes],
            [values.Candidate(*candidate) for candidate in candidates],
            deadline=ADMIT_DEADLINE,
        )
        return Admission(
            verdicts=tuple(_verdict(verdict) for verdict in answer.verdicts),
            mode=answer.mode,
            epoch=answer.epoch,
            retries_halved=answer.retries_halved,
        )

    async def renew(self, attempts: Sequence[tuple[str, int]]) -> tuple[Sequence[Renewal], int]:
        renewals: list[Renewal] = []
        epoch = 0
        for start in range(0, max(1, len(attempts)), RENEWED_AT_ONCE_MAX):
            answer = await self._client.renew(attempts[start : start + RENEWED_AT_ONCE_MAX], deadline=RENEW_DEADLINE)
            epoch = answer.epoch
            renewals += [
                Renewal(action=renewal.action, code=renewal.code, reason=renewal.reason, until=renewal.until)
                for renewal in answer.renewals
            ]
        return renewals, epoch

    async def breakers(self) -> Mapping[str, tuple[str, str, datetime | None]]:
        found = await self._client.list_breakers(not_closed=True, deadline=RENEW_DEADLINE)
        return {breaker.scope: (breaker.state, breaker.reason, breaker.until) for breaker in found}


def _outcome(entry: OutboxEntry) -> values.Outcome:
    kind = values.OutcomeKind.NEUTRAL
    if entry.failure_class == "":
        kind = values.OutcomeKind.SUCCESS
    elif entry.counted:
        kind = values.OutcomeKind.FAILURE
    return values.Outcome(
        task_id=entry.task_id,
        fence=entry.fence,
        agent=entry.agent,
        project=entry.project,
        uses=entry.uses,
        kind=kind,
        failure_class=entry.failure_class,
        detail=entry.detail,
        finished_at=entry.finished_at,
        epoch=entry.epoch,
    )


_ADMITTED = Verdict(admitted=True)


def _verdict(verdict: values.Verdict) -> Verdict:
    if verdict.admitted:
        return Verdict(admitted=True, credential=verdict.credential) if verdict.credential else _ADMITTED
    return Verdict(
        admitted=verdict.admitted,
        scope=verdict.scope,
        code=verdict.code,
        reason=verdict.reason,
        ask_again_at=verdict.ask_again_at,
        credential=verdict.credential,
    )


def _told(act: Act) -> ToldAct:
    return ToldAct(
        id=f"coordinator-{int(act.at.timestamp() * 1_000_000)}-{act.number}",
        at=act.at,
        actor=act.actor,
        actor_id=act.actor_id,
        source=act.source,
        act=act.act,
        target=act.target,
        before=act.before,
        after=act.after,
        reason=act.reason,
    )
