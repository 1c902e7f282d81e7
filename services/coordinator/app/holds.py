"""What holds dispatch back: a pause of the queue, the STOP file, a mode, a parked agent, a safety out of reach."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from foundation.stop_file import StopFile
from services.coordinator.app.aside import Aside
from services.coordinator.domain.fleet import Parked
from services.coordinator.domain.ready import ReadyBoard
from services.coordinator.domain.task import Task
from services.coordinator.ports_safety import OutboxEntry

STOPPED_BY_FILE = Parked(
    scope="fleet",
    code="stop_file",
    reason="Everything is stopped (.quantum/STOP). `quantum resume` starts it again.",
    until=None,
)


class Holds:
    """Refusals are remembered until their time or until safety changes, so that refused work costs nothing."""

    def __init__(self, stop_file: StopFile, board: ReadyBoard) -> None:
        self._stop_file = stop_file
        self._aside = Aside(board)
        self._parked: dict[str, Parked] = {}
        self._fleet: Parked | None = None
        self._epoch: int | None = None
        self.safety_fault = ""
        self.queue_paused = ""

    @property
    def everything(self) -> bool:
        """Nothing at all may start. Does not look at the STOP file: `stopped` does, just before a start."""
        return bool(self.queue_paused or self._fleet is not None or self.safety_fault)

    @property
    def stopped(self) -> Parked | None:
        """Why nothing starts at all, as safety or the STOP file has it."""
        return STOPPED_BY_FILE if self._stop_file.is_set() else self._fleet

    def holds(self, agent: str) -> bool:
        return agent in self._parked

    def park(self, task: Task, refusal: Parked) -> bool:
        """Safety has refused a taken task; ask for nothing of that scope before `until`. True: it was set aside."""
        if refusal.scope == "fleet":
            self._fleet = refusal
        elif self._aside.hold(task, refusal):
            return True
        else:
            self._parked[task.agent] = refusal
        return False

    def sift(self, tasks: list[Task]) -> list[Task]:
        """Those of taken tasks that may be asked for; those of a held project are set aside."""
        return self._aside.sift(tasks)

    def learn_epoch(self, epoch: int) -> bool:
        """Forget every refusal when safety has changed; returns whether it has, since we last heard of it."""
        if epoch == self._epoch:
            return False
        known = self._epoch is not None
        self._epoch = epoch
        self._parked.clear()
        self._aside.release()
        self._fleet = None
        return known

    def awaits(self, ends: Sequence[OutboxEntry]) -> bool:
        """Whether one of these is what a refused agent waits for: its scope runs one at a time."""
        return bool(self._freed_by(ends))

    def hear_ends(self, ends: Sequence[OutboxEntry]) -> bool:
        """Forget the refusals that waited for one of these ends, now that it was told. True: there were any."""
        free = self._freed_by(ends)
        for agent in free:
            del self._parked[agent]
        return bool(free)

    def _freed_by(self, ends: Sequence[OutboxEntry]) -> Sequence[str]:
        waiting = {agent: parked.scope for agent, parked in self._parked.items() if parked.code == "budget"}
        if not waiting or not ends:
            return ()
        ended = {scope for end in ends for scope in (f"agent:{end.agent}", *end.uses)}
        return [agent for agent, scope in waiting.items() if scope in ended]

    def release_due(self, now: datetime) -> None:
        """Forget the refusals whose time is over."""
        self._parked = {
            agent: parked for agent, parked in self._parked.items() if parked.until is None or parked.until > now
        }
        self._aside.release(now)
        if self._fleet is not None and self._fleet.until is not None and self._fleet.until <= now:
            self._fleet = None

    def parked(self) -> Mapping[str, Parked]:
        return dict(self._parked)

    def projects(self) -> Mapping[str, Parked]:
        return self._aside.parked()
