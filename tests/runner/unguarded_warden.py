"""A warden as it would be without sub-reaper and tags: the control of the tests that show what those are for."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from services.agent_runner.warden import __main__ as warden
from services.agent_runner.warden.facts import WardenFacts
from services.agent_runner.warden.host_linux import LinuxHost


class Unguarded(LinuxHost):
    """Sees nothing but its own children."""

    def adopt_orphans(self) -> None:
        """Nobody's."""

    def tagged(self, tags: Collection[int]) -> Mapping[int, list[int]]:
        """Nothing."""
        return {tag: [] for tag in tags}


if __name__ == "__main__":
    setattr(warden, "this_host", Unguarded)  # noqa: B010 - it is not the module's own
    warden.main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], WardenFacts.of(sys.argv[4]))
