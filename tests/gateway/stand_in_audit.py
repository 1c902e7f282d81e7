"""An audit log of five records, the newest of which tells where the present call came from."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from foundation.auth import current_source
from protos.safety.v1 import audit_pb2, audit_pb2_grpc
from tests.gateway.stand_in_coordinator import Context, World

RECORDS = 5


class Audit(audit_pb2_grpc.AuditServiceServicer):
    """The audit log; `world.audit_broken` says from which record on it was changed."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def RecordActs(self, request: audit_pb2.RecordActsRequest, context: Context) -> audit_pb2.RecordActsResponse:
        """No service tells a gateway's test anything."""
        return audit_pb2.RecordActsResponse()

    async def ListAudit(self, request: audit_pb2.ListAuditRequest, context: Context) -> audit_pb2.ListAuditResponse:
        """Newest first; hour n of 2026 for record n."""
        newest = min(RECORDS, int(request.cursor or RECORDS + 1) - 1)
        since = request.since.ToSeconds() if request.HasField("since") else 0
        found = [record for number in range(newest, 0, -1) if (record := _record(number)).entry.at.seconds >= since]
        limit = request.limit or 100
        more = len(found) > limit
        return audit_pb2.ListAuditResponse(records=found[:limit], next=str(found[limit - 1].number) if more else "")

    async def VerifyAudit(
        self, request: audit_pb2.VerifyAuditRequest, context: Context
    ) -> audit_pb2.VerifyAuditResponse:
        """Good, unless told otherwise."""
        number = self.world.audit_broken
        fault = None
        if number is not None:
            fault = audit_pb2.AuditFault(number=number, kind="changed", sentence=f"Record {number} differs.")
        return audit_pb2.VerifyAuditResponse(fault=fault, records=RECORDS, head="ab" * 32)


def _record(number: int) -> audit_pb2.AuditRecord:
    entry = audit_pb2.AuditEntry(
        at=Timestamp(seconds=1_767_225_600 + 3_600 * number),
        actor="ann",
        actor_id="t1",
        source=current_source(),
        act="mode_tighten",
        target="mode",
        after="STOPPED",
    )
    return audit_pb2.AuditRecord(number=number, entry=entry, digest="cd" * 32)
