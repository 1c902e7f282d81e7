"""What a warden is told at its start: settings of the runner, in one argument."""

from __future__ import annotations

import json
from typing import NamedTuple


class WardenFacts(NamedTuple):
    """See the settings of the same names; the first two are `max_concurrent_agents` and `paused_attempts_max`."""

    at_once: int
    paused_max: int = 10
    kernel_limits: str = "auto"
    cpu_limit: int = 100
    run_as_user: str = "nobody"

    def argument(self) -> str:
        """As it stands on the command line."""
        return json.dumps(self._asdict())

    @classmethod
    def of(cls, argument: str) -> WardenFacts:
        """The inverse of `argument`."""
        return cls(**json.loads(argument))
