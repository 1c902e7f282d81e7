"""Leases that were taken and are not begun: why each waits, and which of them are better off in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clients.attachment_values import AttemptRef
from services.agent_runner.app.at_work import AtWork
from services.agent_runner.app.gathering import Gathering
from services.agent_runner.app.held import Held, Phase
from services.agent_runner.domain.pace import Pace
from services.agent_runner.ports import WardenLink
from services.agent_runner.warden.protocol import Withdraw

OVERDUE_SECONDS = 5.0
"""A lease that has waited for so long waits for more than its way to the warden and back."""
_WARDEN = "the warden there has not started it yet"


class Standing(NamedTuple):
    """What one look has found. Each reason is the rest of a sentence."""

    waits: Mapping[AttemptRef, str]
    """Why each lease that is overdue waits."""
    stalled: str
    """Why nothing else would start here either, though a slot is free; "": it would."""
    given_back: bool
    """Whether some go back, so that another runner may have them, or one that is more urgent may overtake them."""


class Standstill:
    """Looks once per heartbeat. A lease goes back when two looks in a row have found it overdue, so that a machine that
    stood still between them is no reason."""

    def __init__(
        self, active: AtWork, gathering: Gathering, pace: Pace, warden: WardenLink, slots: int, paused_max: int
    ) -> None:
        self._active = active
        self._gathering = gathering
        self._pace = pace
        self._warden = warden
        self._slots = slots
        self._paused_max = paused_max
        self._overdue: set[Held] = set()

    def look(self, boottime: float) -> Standing:
        """How leases stand at this moment; those that stand for too long are asked back from the warden."""
        waiting = self._active.waiting()
        overdue = [held for held in waiting if boottime - held.taken_at >= OVERDUE_SECONDS]
        before, self._overdue = self._overdue, set(overdue)
        if not overdue:
            return Standing({}, "", given_back=False)
        tasks = [held for held in self._active if held.phase is Phase.RUNNING and not _beside(held)]
        full = self._full(tasks)
        first = next((held for held in waiting if held.lease.alone), None)
        queued = (
            "" if first is None else f"task {first.ref.task_id}, which runs alone, waits there for the others to end"
        )
        waits = {
            held.ref: "its secrets are being fetched from the keychain there"
            if self._gathering.has(held)
            else _WARDEN
            if _beside(held)
            else full or queued or _WARDEN
            for held in overdue
        }
        give_back = [
            held for held in overdue if held in before and not held.lease.alone and waits[held.ref] in {full, queued}
        ]
        stuck = next((why for why in waits.values() if why in {queued, _WARDEN}), "")
        if give_back:
            self._pace.stand_still()
            self._warden.tell(Withdraw([held.key for held in give_back], f"It was not begun: {full or queued}."))
        return Standing(waits, stuck, bool(give_back))

    def _full(self, tasks: Sequence[Held]) -> str:
        """Why no slot is free, by the warden's own rule; "": there is one."""
        running = [held for held in tasks if not held.paused]
        if alone := next((held for held in running if held.lease.alone), None):
            return f"task {alone.ref.task_id} runs alone there until it ends"
        if len(running) < self._slots - max(0, len(tasks) - len(running) - self._paused_max):
            return ""
        return f"all {self._slots} slots there are taken"


def _beside(held: Held) -> bool:
    """Whether it takes no slot."""
    return held.lease.terms.service is not None or held.lease.terms.check
