"""What a test has left behind on macOS: its process group. Designed, not run.

A process that left the group is the runner's to find: it sweeps by run token when the attempt ends.
"""

from __future__ import annotations

import os
import signal


class Leftovers:
    """macOS hands orphans to launchd, so that there is nothing to prepare."""

    def __enter__(self) -> Leftovers:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def end(self, group: int, seconds_max: float) -> bool:
        """Kill what is left of the test's process group; what has ended is no fault."""
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # EPERM: only dead processes are left in it.
            return True
        return True
