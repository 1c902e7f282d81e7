#!/usr/bin/env python3
# /// script
# [tool.quantum]
# description = "Tests what a merge brought, and takes one that is proved bad back; started by merges, not by hand"
# effects = "idempotent"
# timeout = "6h"
# max_files = 1_000_000
# ///
"""Does one merge check; its report is the evidence. Ends with 0 whatever it finds: a bad merge is a check done well."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import kit.packages  # noqa: F401  what follows lies there
from kit.attempt import give_up, given, publish, say

from foundation.clock import SystemClock
from merge_guard.attending import Order, Surroundings, attend
from merge_guard.confirming import ask_to_move
from merge_guard.evidence import document, sentence
from merge_guard.git import Git
from merge_guard.values import Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """As the coordinator gives them; see `merge_guard.attending.Order`."""

    check: str = ""
    repository: str = ""
    folder: str = ""
    event: str = Event.POST_MERGE.value
    old: str = ""
    new: str = ""
    topic: str = ""
    background: bool = False
    only_report: str = ""
    flaky: Mapping[str, str] = field(default_factory=dict)


def main() -> int:
    """Read the order, do the check, publish what was found."""
    params = given(Params)
    if not params.check or not Path(params.folder).is_absolute() or params.event not in list(Event):
        give_up("A merge check is started by a merge: its params name the check, the folder and the event.")
    # In the background nothing is different here: a branch that has moved since is never moved back.
    order = Order(
        check=params.check,
        repository=params.repository,
        folder=params.folder,
        event=Event(params.event),
        old=params.old,
        new=params.new,
        topic=params.topic,
        only_report=params.only_report,
        flaky=params.flaky,
    )
    with ExitStack() as stack:
        work = os.environ.get("QUANTUM_WORKDIR") or stack.enter_context(tempfile.TemporaryDirectory())
        around = Surroundings(
            git=Git(Path(params.folder)),
            work=Path(work),
            environment=dict(os.environ),
            clock=SystemClock(),
            confirm=lambda old, new: ask_to_move(os.environ, params.check, old, new),
            say=say,
        )
        found = attend(order, around)
    # The verdict's sentence follows what is said here, wherever that is shown.
    publish("merge-check", sentence(found), document(found), aloud=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
