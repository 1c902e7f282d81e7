"""Applies or undoes an adoption in a process of its own and kills it at a step: `… FOLDER WORKSPACE VERB STEP`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.adopting import writing
from cli.adopting.survey import change_of
from foundation.clock import SystemClock
from foundation.workspace import Workspace
from tests.cli.test_adopt_findings import surveyed

STEPS = ("mkdir", "replace", "unlink", "rmdir", "utime", "chmod", "fchmod", "fsync", "open")


def kill_at(step: int) -> Callable[[], int]:
    """From now on, the call of the system with this number, counted from 0, is the last before SIGKILL.

    Returns what says how many there were.
    """
    seen = 0

    def wrapped(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*given: Any, **named: Any) -> Any:
            nonlocal seen
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1
            return real(*given, **named)

        return call

    for name in STEPS:
        setattr(os, name, wrapped(name))
    return lambda: seen


def main() -> None:
    folder, root, verb, step = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    workspace = Workspace(root)
    if "unjournalled" in sys.argv:
        # The protection taken out: nothing is written down before the first file is touched.
        setattr(writing, "atomic_write", lambda *given, **named: None)  # noqa: B010
    if verb == "apply":
        changes = [change_of(one, workspace.agents.resolve()) for one in surveyed(folder, root).adopted]
        count = kill_at(step)
        print(writing.apply(workspace, changes, now=SystemClock().now()))
    else:
        count = kill_at(step)
        writing.undo(workspace)
    print(count())


if __name__ == "__main__":
    main()
