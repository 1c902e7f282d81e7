"""Snapshots on the wire: decode, delegate, encode."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc.aio

from protos.safety.v1 import snapshots_pb2, snapshots_pb2_grpc
from services.safety.ports import Snapshots

# Quoted: generic in their type stubs only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class SnapshotServicer(snapshots_pb2_grpc.SnapshotServiceServicer):
    """One copy for one backup."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def TakeSnapshot(
        self, request: snapshots_pb2.TakeSnapshotRequest, context: Context
    ) -> snapshots_pb2.TakeSnapshotResponse:
        """Copy database and checkpoint."""
        await self._snapshots.take(request.backup_id)
        return snapshots_pb2.TakeSnapshotResponse()
