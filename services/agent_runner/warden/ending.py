"""Ends what a runner that is gone has left behind: `python -m services.agent_runner.warden.ending FOLDER`.

What the next start of the runner would do first, for a service manager that wants it done when the runner has ended:
the warden is told to end its trees, and whatever still carries the run's mark is ended.
"""

from __future__ import annotations

import sys
from pathlib import Path

from foundation.clock import SystemClock
from services.agent_runner.warden import reaping
from services.agent_runner.warden.slots import forget_secrets
from services.agent_runner.warden.this_host import this_host

_TAKE_OVER_SECONDS = 13.0
_EXIT_LEFT = 70


def main(folder: Path) -> int:
    """Returns 0 when nothing is left, 70 when some processes could not be ended."""
    if not folder.is_dir():
        return 0
    clock, host = SystemClock(), this_host()
    reaping.take_over(folder, host, clock, patience=_TAKE_OVER_SECONDS)
    mark = reaping.read_mark(folder)
    left = mark and reaping.end_run(host, mark, clock, grace=reaping.REAP_GRACE_SECONDS)
    forget_secrets(folder / "slots")
    if left and left.alive:
        print(f"warden: processes of an ended run are left: {' '.join(map(str, left.alive))}", file=sys.stderr)
        return _EXIT_LEFT
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
