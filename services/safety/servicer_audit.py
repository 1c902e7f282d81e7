"""The audit log on the wire: decode, delegate, encode."""

from __future__ import annotations

from foundation.auth import current_caller
from protos.safety.v1 import audit_pb2, audit_pb2_grpc
from services.safety import convert_audit as convert
from services.safety.app.audit import Audit
from services.safety.servicer import Context


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """The audit log on the wire."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def RecordActs(self, request: audit_pb2.RecordActsRequest, context: Context) -> audit_pb2.RecordActsResponse:
        """Record what happened in another service."""
        await self._audit.record(convert.acts_in(request.acts, current_caller().name))
        return audit_pb2.RecordActsResponse()

    async def ListAudit(self, request: audit_pb2.ListAuditRequest, context: Context) -> audit_pb2.ListAuditResponse:
        """List records, newest first."""
        page = await self._audit.page(
            since=convert.since_in(request), limit=request.limit, before=convert.cursor_in(request.cursor)
        )
        return convert.page_out(page)

    async def VerifyAudit(
        self, request: audit_pb2.VerifyAuditRequest, context: Context
    ) -> audit_pb2.VerifyAuditResponse:
        """Read the whole log and say what is wrong with it."""
        return convert.verdict_out(await self._audit.verify())
