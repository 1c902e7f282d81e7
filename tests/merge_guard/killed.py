"""A process of the tests that makes a move and is killed on the way."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from merge_guard.arrival import read_arrival
from merge_guard.rollback import roll_back
from merge_guard.undo import undo
from merge_guard.values import Arrival, Event
from tests.merge_guard.building import CHECK, NOW, Repo

TOLD = "outcome: "


def main() -> None:
    """Arguments: the work tree, the git to use, what to do (`roll_back`, `undo old ref`), the step to die at or ``."""
    top, program, what, deadly = sys.argv[1:5]
    repo = Repo(Path(top), program)

    def step(name: str) -> None:
        if name == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    if what == "undo":
        old, kept = sys.argv[5:7]
        done = undo(repo.git, repo.repository, branch="main", old=old, kept_ref=kept, check_id=CHECK, step=step)
    else:
        arrival = read_arrival(repo.git, repo.repository, event=Event.POST_MERGE)
        if not isinstance(arrival, Arrival):
            raise SystemExit(arrival.reason)
        done = roll_back(repo.git, repo.repository, arrival, check_id=CHECK, now=NOW, confirm=lambda: "", step=step)
    print(f"{TOLD}{done.action}: {done.sentence}")


if __name__ == "__main__":
    main()
