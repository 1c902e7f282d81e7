"""The door for backups: decode, delegate, encode."""

from typing import Any

import grpc.aio

from foundation.auth import current_caller
from foundation.errors import Denied
from foundation.tokens import mask
from protos.coordinator.v1 import backups_pb2 as pb
from protos.coordinator.v1 import backups_pb2_grpc
from services.coordinator.app.backups import Backups

Context = grpc.aio.ServicerContext[Any, Any]


class BackupServicer(backups_pb2_grpc.BackupServiceServicer):
    """Copies, and what became of them."""

    def __init__(self, backups: Backups) -> None:
        self._backups = backups

    async def TakeSnapshot(self, request: pb.TakeSnapshotRequest, context: Context) -> pb.TakeSnapshotResponse:
        await self._backups.take(request.backup_id)
        return pb.TakeSnapshotResponse()

    async def TakeSnapshotForAttempt(
        self, request: pb.TakeSnapshotForAttemptRequest, context: Context
    ) -> pb.TakeSnapshotForAttemptResponse:
        await self._backups.require_own(_attempt())
        await self._backups.take(request.backup_id)
        return pb.TakeSnapshotForAttemptResponse()

    async def ConcludeBackup(self, request: pb.ConcludeBackupRequest, context: Context) -> pb.ConcludeBackupResponse:
        await self._backups.conclude(request.backup_id, mask(request.fault))
        return pb.ConcludeBackupResponse()

    async def ConcludeBackupForAttempt(
        self, request: pb.ConcludeBackupForAttemptRequest, context: Context
    ) -> pb.ConcludeBackupForAttemptResponse:
        await self._backups.require_own(_attempt())
        await self._backups.conclude(request.backup_id, mask(request.fault))
        return pb.ConcludeBackupForAttemptResponse()


def _attempt() -> tuple[str, int]:
    attempt = current_caller().attempt
    if attempt is None:
        raise Denied("no_attempt", "This is asked by attempts alone.")
    return attempt
