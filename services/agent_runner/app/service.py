"""One service as the runner holds it: its present process, if there is one, and what is to follow."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from clients.attachment_values import EndCause, Result, ServiceNews, ServiceTerms
from services.agent_runner.app.held import Held
from services.agent_runner.domain.service import Ends
from services.agent_runner.domain.text import last_bytes
from services.agent_runner.warden.protocol import Ended

NEVER = float("inf")
LAST_LINES_BYTES_MAX = 4096


@dataclass(slots=True, eq=False)
class Service:
    """Mutable, owned by the runner's loop. Times are boottime in seconds.

    Each of its processes is a start of its own with the warden, under a key of its own: there is one at most.
    """

    held: Held
    rule: ServiceTerms
    number: int = 0
    """Of its processes so far."""
    key: str = ""
    """Of the process that is there or was asked for; empty: none, so that the next one may be."""
    up: bool = False
    next_start_at: float = NEVER
    ending: tuple[EndCause, str] | None = None
    """Why its attempt ends, once somebody wants that; nothing is started any more."""
    paused: bool = False
    """As ordered."""
    ends: Ends = field(default_factory=Ends)
    escalated: bool = False
    calm_at: float = NEVER
    """When the present process will have lasted for the whole window."""
    last: Result | None = None
    """Of the last process that has ended."""
    last_end: str = ""
    last_lines: str = ""
    cpu_us: int = 0
    active_us: int = 0
    stamp: tuple[int, ...] | None = None
    """Of the script as the present process was started from it."""
    seen_stamp: tuple[int, ...] | None = None
    look_at: float = NEVER
    probe: Probe = field(default_factory=lambda: Probe())

    @property
    def begun(self) -> bool:
        """Whether any process of it has been there: its attempt has started."""
        return self.held.started_at > 0

    def keys(self) -> list[str]:
        """What the warden holds of it."""
        return [key for key in (self.key, self.probe.key) if key]

    def due_at(self) -> float:
        """When something is to be done about it by itself."""
        if self.ending is not None:
            return NEVER  # the warden's word decides
        if self.up:
            return min(self.look_at, self.calm_at, self.probe.due_at)
        return min(self.next_start_at if not self.paused and not self.key else NEVER, self.look_at)

    def news(self, boot_us: int) -> ServiceNews:
        """How it stands."""
        waits = not self.key and self.next_start_at != NEVER
        return ServiceNews(
            ref=self.held.ref,
            restarts=max(self.number - 1, 0),
            next_start_us=boot_us + round(self.next_start_at * 1e6) if waits else 0,
            last_end=self.last_end,
            last_lines=self.last_lines,
            escalated=self.escalated,
            health=self.probe.health,
        )

    def result(self, cause: EndCause, sentence: str, finished_us: int, boot_us: int) -> Result:
        """Of the attempt as a whole: the last process's end, the sum of what all of them took."""
        last = self.last or Result(ref=self.held.ref, cause=cause, finished_us=finished_us)
        return last._replace(
            cause=cause,
            sentence=sentence,
            started_us=boot_us + round(self.held.started_at * 1e6),
            finished_us=finished_us,
            duration_us=self.active_us,
            cpu_us=self.cpu_us,
            limits=self.held.known.limits,
            output_tail=self.held.output.tail() if self.held.output is not None else "",
            epoch=self.held.lease.epoch,
        )


@dataclass(slots=True)
class Probe:
    """Its questions with --health."""

    key: str = ""
    """Of the one that is out."""
    number: int = 0
    due_at: float = NEVER
    unhealthy: int = 0
    """Bad answers in a row."""
    health: str = ""


def how_it_ended(ended: Ended) -> str:
    """What it did, as the rest of a sentence."""
    if ended.sentence:
        return f"was ended: {ended.sentence}"
    if ended.status == -1:
        return "could not be ended"
    if os.WIFSIGNALED(ended.status):
        return f"was ended by signal {os.WTERMSIG(ended.status)}"
    return f"exited with {os.WEXITSTATUS(ended.status)}"


def last_lines(text: str) -> str:
    """The end of an output, whole lines as far as that can be."""
    end = last_bytes(text.encode(), LAST_LINES_BYTES_MAX)
    if len(end) < len(text) and "\n" in end[:-1]:
        end = end[end.index("\n") + 1 :]
    return end
