"""Messages of the audit log's contract to and from its own values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from foundation.errors import FieldFault, Invalid
from protos.safety.v1 import audit_pb2
from services.safety.app.audit import AuditPage, Verdict
from services.safety.domain.audit import Actor, AuditEntry, AuditRecord, Fault


def acts_in(messages: Iterable[audit_pb2.ToldAct], teller: str) -> list[AuditEntry]:
    """The acts that another service tells; `teller` is the name of its token."""
    return [_entry_in(message.id, message.entry, teller) for message in messages]


def since_in(request: audit_pb2.ListAuditRequest) -> datetime | None:
    """From when on records are wanted."""
    return request.since.ToDatetime(tzinfo=UTC) if request.HasField("since") else None


def cursor_in(cursor: str) -> int | None:
    """The number behind a cursor; raises Invalid for what is none."""
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        fault = FieldFault("cursor", "is not one of ours")
        raise Invalid("bad_cursor", "That cursor is not one of the audit log's.", fields=(fault,))
    return int(cursor)


def page_out(page: AuditPage) -> audit_pb2.ListAuditResponse:
    """One page."""
    return audit_pb2.ListAuditResponse(
        records=map(_record_out, page.records), next="" if page.next is None else str(page.next)
    )


def verdict_out(verdict: Verdict) -> audit_pb2.VerifyAuditResponse:
    """What a check found."""
    return audit_pb2.VerifyAuditResponse(
        fault=None if verdict.fault is None else _fault_out(verdict.fault),
        records=verdict.records,
        head=verdict.head.digest,
        unconfirmed=verdict.unconfirmed,
    )


def _entry_in(told: str, message: audit_pb2.AuditEntry, teller: str) -> AuditEntry:
    return AuditEntry(
        at=message.at.ToDatetime(tzinfo=UTC),
        actor=Actor(name=message.actor, token_id=message.actor_id, source=f"{message.source}, told by {teller}"),
        act=message.act,
        target=message.target,
        before=message.before,
        after=message.after,
        reason=message.reason,
        told=told,
    )


def _record_out(record: AuditRecord) -> audit_pb2.AuditRecord:
    entry = record.entry
    at = Timestamp()
    at.FromDatetime(entry.at)
    return audit_pb2.AuditRecord(
        number=record.number,
        digest=record.digest,
        entry=audit_pb2.AuditEntry(
            at=at,
            actor=entry.actor.name,
            actor_id=entry.actor.token_id,
            source=entry.actor.source,
            act=entry.act,
            target=entry.target,
            before=entry.before,
            after=entry.after,
            reason=entry.reason,
        ),
    )


def _fault_out(fault: Fault) -> audit_pb2.AuditFault:
    return audit_pb2.AuditFault(number=fault.number, kind=fault.kind.value, sentence=fault.sentence)
