"""What the runner's servicer needs of whoever knows the scripts."""

from __future__ import annotations

from typing import Protocol


class ScriptTexts(Protocol):
    """The texts of scripts, for runners that do not share this machine's disk."""

    def script_text(self, agent: str, sha256: str) -> bytes:
        """May block. Raises NotFound, and Stale when the script is another one by now."""
        ...
