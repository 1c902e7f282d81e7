"""A warden as it would be without its fence: the control of the tests that show what that is for."""

from __future__ import annotations

import sys
from pathlib import Path

from services.agent_runner.warden import __main__ as warden
from services.agent_runner.warden import trees
from services.agent_runner.warden.attempt import NEVER
from services.agent_runner.warden.facts import WardenFacts
from services.agent_runner.warden.fence import FenceView, Stage


def held(renewed_at: float, lease: float, now: float) -> FenceView:
    """However long nobody has renewed it."""
    return FenceView(Stage.HELD, NEVER)


if __name__ == "__main__":
    setattr(trees, "fence", held)  # noqa: B010 - it is not the module's own
    warden.main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], WardenFacts.of(sys.argv[4]))
