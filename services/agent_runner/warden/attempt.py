"""One attempt as the warden holds it: a process tree, its clocks, and what is being done about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from services.agent_runner.warden.cgroups import Cell
from services.agent_runner.warden.protocol import Start, Terms
from services.agent_runner.warden.slots import Slot
from services.agent_runner.warden.sweep import Tree
from services.agent_runner.warden.work_folder import WorkWatch

NEVER = float("inf")


class Breach(NamedTuple):
    """Why an attempt is ended: a stable cause, and a sentence for people."""

    cause: str
    sentence: str


class Attempt:
    """Mutable, owned by the warden's loop alone. Every time is boottime in seconds."""

    __slots__ = (
        "adopted",
        "breach",
        "cell",
        "cpu_seconds",
        "ended_at",
        "frozen_at",
        "frozen_seconds",
        "init",
        "kill_at",
        "last_look",
        "lease",
        "output_changed_at",
        "output_seen",
        "paused",
        "peak_bytes",
        "pid",
        "reaped_cpu_seconds",
        "renewed_at",
        "slot",
        "stands_back",
        "start",
        "started_at",
        "status",
        "stragglers",
        "swept",
        "tag",
        "terms",
        "told_paused",
        "unproved_at",
        "waiter",
        "work",
    )

    def __init__(
        self,
        start: Start,
        terms: Terms,
        slot: Slot,
        cell: Cell | None,
        pid: int,
        tag: int,
        *,
        renewed_at: float,
        lease: float,
        now: float,
    ) -> None:
        self.start = start
        self.terms = terms
        self.slot = slot
        self.cell = cell  # the kernel's own place for its tree, where there is one
        self.pid = pid
        self.tag = tag
        self.started_at = now
        self.renewed_at = renewed_at
        self.lease = lease
        self.paused = False  # as ordered
        self.told_paused = False
        self.frozen_at = 0.0  # 0: not frozen
        self.frozen_seconds = 0.0
        self.breach = Breach("exit", "")  # why we end it, if we do
        self.swept = False  # SIGTERM was sent to all of its tree
        self.kill_at = NEVER
        self.unproved_at = NEVER
        self.status: int | None = None  # of the main process, once it has been reaped
        self.ended_at = 0.0
        self.cpu_seconds = 0.0
        self.reaped_cpu_seconds = 0.0  # of its processes that became our children and have ended
        self.peak_bytes = -1
        self.output_seen = 0
        self.output_changed_at = now
        # Children of the warden that are, or may be, of its tree; its first one left out.
        self.adopted: set[int] = set()
        self.stragglers: dict[int, str] = {}  # what outlived the script or had left its tree, with its name
        self.work: WorkWatch | None = None  # once it was seen to use its scratch folder
        self.last_look: Iterator[None] | None = None  # at its scratch folder, after its end
        self.stands_back = not terms.nice  # also where processors are shared out by session
        self.waiter = False  # `pid` is not the script: it waits for it, and says how it ended
        self.init = 0  # the first process in the tree's own numbering, once `pid` has ended before it

    @property
    def ending(self) -> bool:
        """Whether SIGTERM was sent to its tree."""
        return self.kill_at != NEVER

    @property
    def tree(self) -> Tree:
        """What is known of its processes. A pid that was not reaped cannot be used again."""
        first = (self.pid,) if self.status is None else ()
        return Tree(
            self.tag,
            self.pid if first else 0,
            {*first, *self.adopted},
            self.cell,
            self.pid if self.waiter and first else 0,
        )

    def active_seconds(self, now: float) -> float:
        """Time that it could run; frozen time counts for no limit."""
        frozen = now - self.frozen_at if self.frozen_at else 0.0
        return now - self.started_at - self.frozen_seconds - frozen

    def watched_work(self) -> WorkWatch | None:
        """Its scratch folder, where that has limits and something was put into it."""
        terms = self.terms
        if self.work is None and (terms.work_files_max or terms.work_bytes_max) and self.slot.work_used():
            counts, weighs = terms.work_files_max > 0, terms.work_bytes_max > 0
            self.work = WorkWatch(self.slot.work, counts=counts, weighs=weighs)
        return self.work

    def note_thawed(self, now: float) -> None:
        """Its tree goes on; what it did not do meanwhile is not held against it."""
        self.frozen_seconds += now - self.frozen_at
        self.output_changed_at += now - self.frozen_at
        self.frozen_at = 0.0
