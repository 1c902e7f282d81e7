"""What a runner reports of its attempts, as values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.coordinator.domain.failure import AttemptEnd, EndCause
from services.coordinator.domain.task import NOTHING_MEASURED, Task


@dataclass(frozen=True, slots=True)
class Started:
    """A process exists since `at`, by the runner's clock."""

    task_id: str
    fence: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An attempt's end. `report` is the text that the script wrote, "" for none; `started_at` None: never started."""

    task_id: str
    fence: int
    end: AttemptEnd
    started_at: datetime | None
    finished_at: datetime
    output_tail: str = ""
    report: str = ""
    report_fault: str = ""
    tree_dead: bool = True
    stragglers: int = 0
    epoch: int = 0
    """Safety's at the admission; 0: not known."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A lease that was never spawned comes back."""

    task_id: str
    fence: int
    reason: str


@dataclass(frozen=True, slots=True)
class Frozen:
    """The tree was frozen (True) or thawed (False)."""

    task_id: str
    fence: int
    frozen: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNews:
    """A service has ended and waits for its next start (None: it has been started); its attempt goes on."""

    task_id: str
    fence: int
    restarts: int
    next_start_at: datetime | None = None
    last_end: str = ""
    last_lines: str = ""
    escalated: bool = False
    health: str = ""


class What(StrEnum):
    """What an event means for its attempt."""

    END = "end"
    RETURN = "return"
    """It is over before it began."""
    NEWS = "news"
    """It goes on."""


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """What a runner has told and nobody here can deal with: `fault` says why. That an attempt is over is dealt with all
    the same."""

    task_id: str
    fence: int
    what: What
    fault: str


AttemptEvent = Started | Ended | Returned | Frozen | ServiceNews | Unrecorded


def unrecorded(event: AttemptEvent, fault: Exception) -> Unrecorded:
    """What takes the place of an event that cannot be recorded."""
    what = What.END if isinstance(event, Ended) else What.RETURN if isinstance(event, Returned) else What.NEWS
    return Unrecorded(event.task_id, event.fence, what, f"{type(fault).__name__}: {fault}"[:300])


def unstartable(task: Task, sentence: str, now: datetime, *, epoch: int) -> Ended:
    """The end of an attempt that cannot start as it is: its agent or its project's folder is gone."""
    end = AttemptEnd(cause=EndCause.SPAWN_CONFIGURATION, sentence=sentence, measured=NOTHING_MEASURED)
    return Ended(task_id=task.id, fence=task.fence, end=end, started_at=None, finished_at=now, epoch=epoch)
