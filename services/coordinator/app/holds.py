"""What holds dispatch back: a pause of the queue, the STOP file, a mode, a parked agent, a safety out of reach."""

from collections.abc import Mapping
from datetime import datetime

from foundation.workspace import StopFile
from services.coordinator.domain.fleet import Parked

STOPPED_BY_FILE = Parked(
    scope="fleet",
    code="stop_file",
    reason="Everything is stopped (.quantum/STOP). `quantum resume` starts it again.",
    until=None,
)


class Holds:
    """Refusals are remembered until their time or until safety changes, so that refused work costs nothing."""

    def __init__(self, stop_file: StopFile) -> None:
        self._stop_file = stop_file
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

    def park(self, agent: str, refusal: Parked) -> None:
        """Safety has refused; ask for nothing of that scope before `until`."""
        if refusal.scope == "fleet":
            self._fleet = refusal
        else:
            self._parked[agent] = refusal

    def learn_epoch(self, epoch: int) -> bool:
        """Forget every refusal when safety has changed; returns whether it has, since we last heard of it."""
        if epoch == self._epoch:
            return False
        known = self._epoch is not None
        self._epoch = epoch
        self._parked.clear()
        self._fleet = None
        return known

    def release_due(self, now: datetime) -> None:
        """Forget the refusals whose time is over."""
        self._parked = {
            agent: parked for agent, parked in self._parked.items() if parked.until is None or parked.until > now
        }
        if self._fleet is not None and self._fleet.until is not None and self._fleet.until <= now:
            self._fleet = None

    def parked(self) -> Mapping[str, Parked]:
        return dict(self._parked)
