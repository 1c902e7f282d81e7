"""What `quantum rotate logs` does: begins every log anew, compresses, and brings all under the quota."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.log import get_logger
from foundation.log_keeping import LogKeeper, survey
from foundation.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How much room the logs may take."""

    logs_bytes_max: int
    agent_log_files_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What was done. `left`: logs that a runner, which keeps them in order, compresses in the next seconds."""

    renamed: int
    compressed: int
    left: int
    removed: int
    bytes_before: int
    bytes_after: int


def logs_now(workspace: Workspace) -> tuple[int, int]:
    """How many logs there are to begin anew, and the room that all of `logs/` takes, in bytes."""
    seen = survey(str(workspace.logs))
    return sum(size > 0 for size in seen.current.values()), seen.total_bytes


def rotate_logs(workspace: Workspace, settings: LogSettings) -> Rotated:
    """Whether or not the system is up: whoever writes to a log notices with its next line. Raises OSError."""
    keeper = LogKeeper(
        workspace.logs,
        get_logger("rotate"),
        bytes_max=settings.logs_bytes_max,
        files_max=settings.agent_log_files_max,
    )
    before = survey(str(workspace.logs))
    renamed = keeper.begin_anew()
    try:
        compressed = keeper.compress_all()
        keeper.look()
    finally:
        keeper.close()
    seen = survey(str(workspace.logs))
    return Rotated(
        renamed=renamed,
        compressed=compressed,
        left=sum(not found.older.compressed for found in seen.older),
        removed=max(len(before.older) + renamed - len(seen.older), 0),
        bytes_before=before.total_bytes,
        bytes_after=seen.total_bytes,
    )
