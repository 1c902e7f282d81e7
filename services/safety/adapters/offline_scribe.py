"""Records one privileged act while safety does not run, on a connection that somebody else holds."""

from __future__ import annotations

import apsw

from services.safety.adapters import sqlite_audit
from services.safety.domain.audit import AuditEntry, chain, checkpoint_of
from services.safety.ports import CheckpointFile


class OfflineScribe:
    """Writes a record behind the log's end; the checkpoint follows when the database with it is in its place."""

    def __init__(self, key: bytes, file: CheckpointFile) -> None:
        self._key = key
        self._file = file

    def write(self, connection: apsw.Connection, entry: AuditEntry) -> None:
        """Append the record, in the transaction that is open, and stage the checkpoint."""
        (record,) = chain(sqlite_audit.head(connection), [entry], self._key)
        sqlite_audit.write(connection, [record])
        self._file.stage(checkpoint_of(record.head, self._key))

    def publish(self) -> None:
        """Let the checkpoint take its place."""
        self._file.publish()
