"""The units of a workspace: what each runs, and how it is named beside those of other workspaces."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Part:
    """One unit: `name` is the one in the names of files and units, `process` the one in `quantum status`."""

    name: str
    process: str

    def unit(self, workspace: Workspace) -> str:
        """The unit of systemd that runs it."""
        return f"quantum-{self.name}-{workspace.key12}.service"

    def label(self, workspace: Workspace) -> str:
        """The job of launchd that runs it."""
        return f"com.quantum.{self.name}.{workspace.key12}"


PARTS = (
    Part("safety", "safety"),
    Part("coordinator", "coordinator"),
    Part("agent-runner", "runner-local"),
    Part("mcp", "gateway"),
)
"""In the order of start."""
UPKEEP = Part("upkeep", "upkeep")
"""No process that stays: from time to time it does what the supervisor of `quantum up` does beside its watch."""
