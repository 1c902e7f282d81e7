"""Whether a declared service is to be started by itself: yes, unless a person has stopped it, or it is held."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.coordinator.domain.task import Task, TaskState

_STOPPED = frozenset({TaskState.CANCELLED, TaskState.SUCCEEDED})


class Wish(StrEnum):
    """What is wanted of a service, kept beyond its tasks, which retention deletes."""

    NEW = ""
    """It was not a service so far, whatever its name has run before."""
    ON = "on"
    OFF = "off"
    """A person has ended it; only a person starts it again."""
    HELD = "held"
    """It has ended too often, or cannot run as it is; a change of its files or a person starts it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A wish, and since when it is held."""

    wish: Wish = Wish.NEW
    since: datetime | None = None

    def text(self) -> str:
        """As it is kept."""
        return f"{self.wish} {self.since.isoformat()}" if self.since else self.wish.value


def standing_of(text: str | None) -> Standing:
    """What was kept."""
    wish, _, since = (text or "").partition(" ")
    return Standing(wish=Wish(wish), since=datetime.fromisoformat(since) if since else None)


def after_its_task(before: Standing, last: Task | None) -> Standing:
    """What is wanted, now that its last task is this one; None: none is known any more."""
    if last is not None and not last.ended:
        return Standing(wish=Wish.ON)
    if before.wish is not Wish.ON or last is None:
        return before
    if last.state in _STOPPED:
        return Standing(wish=Wish.OFF)
    return Standing(wish=Wish.HELD, since=last.finished_at)


def is_to_start(standing: Standing, changed_at: datetime | None) -> bool:
    """Whether to start it now that none of its tasks is open; `changed_at` is when its files last changed."""
    match standing.wish:
        case Wish.NEW | Wish.ON:
            return True
        case Wish.HELD:
            return standing.since is not None and changed_at is not None and changed_at > standing.since
        case _:
            return False
