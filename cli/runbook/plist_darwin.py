"""Where the runbook's property list leads on macOS. Designed, not run: no such machine was at hand."""

from __future__ import annotations

from pathlib import Path

from cli.service.parts import PARTS
from foundation.workspace import Workspace

PLACE = "com.quantum.mcp.plist"


def written_list(root: Path) -> Path:
    """The gateway's list as `quantum service install` writes it for a workspace; both forms of `launchctl` load it."""
    (gateway,) = (part for part in PARTS if part.process == "gateway")
    return Path.home() / "Library" / "LaunchAgents" / f"{gateway.label(Workspace(root))}.plist"
