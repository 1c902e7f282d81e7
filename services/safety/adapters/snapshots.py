"""A copy of safety's database in the workspace's folder of a backup, and with it the audit log's checkpoint."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from foundation.errors import Conflict
from foundation.workspace import Workspace


class WorkspaceSnapshots:
    """Implements `ports.Snapshots`."""

    def __init__(self, workspace: Workspace, copy_to: Callable[[Path], None]) -> None:
        """`copy_to` copies the database as it is then, durably."""
        self._workspace = workspace
        self._copy_to = copy_to

    async def take(self, backup_id: str) -> None:
        """Copy both. Raises Conflict when that was done before."""
        await asyncio.to_thread(self.take_sync, backup_id)

    def take_sync(self, backup_id: str) -> None:
        """As `take`, for whoever has no event loop.

        The checkpoint first: it may lag behind the log, as after a crash, and must never lead.
        """
        folder = self._workspace.making(backup_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder / self._workspace.safety_db.name
        if target.exists():
            raise Conflict("snapshot_taken", f"Backup {backup_id} has its copy already.")
        checkpoint = self._workspace.audit / "checkpoint.json"
        if checkpoint.exists():
            (folder / "audit").mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(checkpoint, folder / "audit" / checkpoint.name)
        self._copy_to(target)
