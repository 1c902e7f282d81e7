"""The client of backups, over a channel to the coordinator."""

from __future__ import annotations

from datetime import timedelta

import grpc.aio

from clients.calling import DEADLINE, ask
from protos.coordinator.v1 import backups_pb2, backups_pb2_grpc

COPY_DEADLINE = timedelta(hours=2)
"""For copies of databases of any size."""


class BackupClient:
    """Every method raises QuantumError alone, as CoordinatorClient's do."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The channel belongs to whoever opened it."""
        self._backups = backups_pb2_grpc.BackupServiceStub(channel)

    async def take_snapshot(
        self, backup_id: str, *, as_attempt: bool = False, deadline: timedelta = COPY_DEADLINE
    ) -> None:
        """Has both databases copied into the workspace's folder of a backup.

        `as_attempt`: the channel's token is the credential of an attempt of the agent `backup`. Raises Invalid for what
        is no id, Conflict when there are such copies, Denied for another attempt.
        """
        if as_attempt:
            own = backups_pb2.TakeSnapshotForAttemptRequest(backup_id=backup_id)
            await ask(self._backups.TakeSnapshotForAttempt, own, deadline)
        else:
            await ask(self._backups.TakeSnapshot, backups_pb2.TakeSnapshotRequest(backup_id=backup_id), deadline)

    async def conclude(
        self, backup_id: str, fault: str, *, as_attempt: bool = False, deadline: timedelta = DEADLINE
    ) -> None:
        """Says that a backup is good, or with a sentence why it is not: then people are told."""
        if as_attempt:
            own = backups_pb2.ConcludeBackupForAttemptRequest(backup_id=backup_id, fault=fault)
            await ask(self._backups.ConcludeBackupForAttempt, own, deadline)
        else:
            request = backups_pb2.ConcludeBackupRequest(backup_id=backup_id, fault=fault)
            await ask(self._backups.ConcludeBackup, request, deadline)
