"""Whether what lies in a workspace is one state, or half of a restore that was cut short."""

from __future__ import annotations

from foundation.errors import Conflict
from foundation.workspace import Workspace


def require_settled(workspace: Workspace) -> None:
    """Raise Conflict, code `restore_unfinished`, where a restore was cut short: what lies there is no one state."""
    if workspace.restore_journal.exists():
        raise Conflict(
            "restore_unfinished",
            f"A restore of {workspace.root} was cut short, so nothing there may be opened yet.",
            remedy="Any quantum command brings it to its end: quantum status",
        )
