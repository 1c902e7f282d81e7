"""The audit log: read it, and have it checked."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from flask import Response

from gateway.answering import area, reply
from gateway.schemas import audit as shapes
from gateway.schemas.documented import answers as documented
from gateway.state import caller

routes = area("audit")


@routes.get("/audit", responses=documented({200: shapes.AuditPage}))
def list_audit(query: shapes.AuditQuery) -> Response:
    """What was done with privilege, newest first."""
    since = datetime.fromisoformat(query.since.upper()) if query.since else None
    page = caller().safety(
        lambda safety, left: safety.audit.page(since=since, limit=query.limit, cursor=query.cursor, deadline=left)
    )
    return reply(
        shapes.AuditPage(
            records=[
                shapes.AuditRecord(
                    number=record.number,
                    at=record.at,
                    actor=record.actor,
                    actor_id=record.actor_id or None,
                    source=record.source,
                    act=record.act,
                    target=record.target,
                    before=record.before or None,
                    after=record.after or None,
                    reason=record.reason or None,
                    digest=record.digest,
                )
                for record in page.records
            ],
            next=page.next,
        )
    )


@routes.get("/audit/verify", responses=documented({200: shapes.AuditVerdict}))
def verify_audit() -> Response:
    """Reads the whole log and compares it with its seals and its checkpoint."""
    verdict = caller().safety(lambda safety, left: safety.audit.verify(deadline=left))
    fault = None if verdict.fault is None else shapes.AuditFault(**asdict(verdict.fault))
    return reply(
        shapes.AuditVerdict(
            good=fault is None,
            fault=fault,
            records=verdict.records,
            head=verdict.head,
            unconfirmed=verdict.unconfirmed,
        )
    )
