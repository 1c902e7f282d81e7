"""A runner as it would be without the fence: its warden lets leases run down, and it ends nothing that one left."""

from __future__ import annotations

import sys

from services.agent_runner import __main__ as agent_runner
from services.agent_runner import wiring
from services.agent_runner.adapters import warden_process


def leave_them(*_: object) -> bool:
    """Say that the processes of a killed warden have been ended."""
    return True


if __name__ == "__main__":
    warden_process.PROGRAM = "tests.runner.unfenced_warden"
    setattr(wiring, "end_orphans", leave_them)  # noqa: B010 - it is not the module's own
    sys.exit(agent_runner.main())
