"""The audit log's client, over a channel to safety."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import grpc.aio

from clients.calling import DEADLINE, ask
from clients.safety_audit_values import AuditFault, AuditPage, AuditRecordView, AuditVerdict, ToldAct
from clients.wire_values import moment_in, to_timestamp
from foundation.errors import Internal
from protos.safety.v1 import audit_pb2, audit_pb2_grpc

VERIFY_DEADLINE = timedelta(minutes=5)


class AuditClient:
    """Every method raises QuantumError alone, as SafetyClient's do."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel belongs to whoever opened it."""
        self._audit = audit_pb2_grpc.AuditServiceStub(channel)

    async def record(self, acts: Iterable[ToldAct], *, deadline: timedelta = DEADLINE) -> None:
        """Has acts recorded, at most 1,000; one whose id was told already is not recorded again."""
        await ask(self._audit.RecordActs, audit_pb2.RecordActsRequest(acts=map(_told_to, acts)), deadline)

    async def page(
        self,
        *,
        since: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
        deadline: timedelta = DEADLINE,
    ) -> AuditPage:
        """Records not older than `since`, newest first. Raises Invalid for a limit over 1,000 or a foreign cursor."""
        request = audit_pb2.ListAuditRequest(since=to_timestamp(since), limit=limit, cursor=cursor or "")
        answer = await ask(self._audit.ListAudit, request, deadline)
        return AuditPage(records=tuple(map(_record_from, answer.records)), next=answer.next or None)

    async def verify(self, *, deadline: timedelta = VERIFY_DEADLINE) -> AuditVerdict:
        """Has the whole log read and compared with its seals and its checkpoint."""
        answer = await ask(self._audit.VerifyAudit, audit_pb2.VerifyAuditRequest(), deadline)
        fault = answer.fault
        return AuditVerdict(
            fault=AuditFault(number=fault.number, kind=fault.kind, sentence=fault.sentence)
            if answer.HasField("fault")
            else None,
            records=answer.records,
            head=answer.head,
            unconfirmed=answer.unconfirmed,
        )


def _told_to(act: ToldAct) -> audit_pb2.ToldAct:
    return audit_pb2.ToldAct(
        id=act.id,
        entry=audit_pb2.AuditEntry(
            at=to_timestamp(act.at),
            actor=act.actor,
            actor_id=act.actor_id,
            source=act.source,
            act=act.act,
            target=act.target,
            before=act.before,
            after=act.after,
            reason=act.reason,
        ),
    )


def _record_from(message: audit_pb2.AuditRecord) -> AuditRecordView:
    entry = message.entry
    at = moment_in(entry, "at")
    if at is None:
        raise Internal("bad_answer", "Safety answered with an audit record without a time.")
    return AuditRecordView(
        number=message.number,
        at=at,
        actor=entry.actor,
        actor_id=entry.actor_id,
        source=entry.source,
        act=entry.act,
        target=entry.target,
        before=entry.before,
        after=entry.after,
        reason=entry.reason,
        digest=message.digest,
    )
