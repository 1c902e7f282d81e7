"""A warden with a fault in its loop, which comes out once the file that `FAULT` names is there.

With `LAST_RESORT=none` it is one without a last resort: the control.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from services.agent_runner.warden import __main__ as warden
from services.agent_runner.warden.facts import WardenFacts
from services.agent_runner.warden.loop import Warden


class Faulty(Warden):
    """One that nobody has foreseen this of."""

    def _look_for_stop(self, now: float) -> None:
        if os.path.exists(os.environ["FAULT"]):
            raise KeyError("nobody has foreseen this")
        super()._look_for_stop(now)


if __name__ == "__main__":
    setattr(warden, "Warden", Faulty)  # noqa: B010 - it is not the module's own
    if os.environ.get("LAST_RESORT") == "none":
        setattr(warden, "end_everything", lambda *_: None)  # noqa: B010 - the same
    warden.main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], WardenFacts.of(sys.argv[4]))
