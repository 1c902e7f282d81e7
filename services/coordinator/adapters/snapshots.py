"""Copies of both databases in the workspace's folder of a backup."""

from datetime import timedelta

from clients.safety import SafetyClient
from foundation.errors import Conflict
from foundation.workspace import Workspace
from services.coordinator.adapters.sqlite import SqliteStore

DEADLINE = timedelta(hours=1)
"""For safety's copy, which is a small one."""


class WorkspaceSnapshots:
    """Implements `ports.Snapshots`."""

    def __init__(self, workspace: Workspace, store: SqliteStore, safety: SafetyClient) -> None:
        self._workspace = workspace
        self._store = store
        self._safety = safety

    async def take(self, backup_id: str) -> None:
        folder = self._workspace.making(backup_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder / self._workspace.coordinator_db.name
        if target.exists():
            raise Conflict("snapshot_taken", f"Backup {backup_id} has its copy already.")
        await self._store.copy_to(target)
        await self._safety.take_snapshot(backup_id, deadline=DEADLINE)
