"""The mode's verbs: get, tighten, resume."""

from __future__ import annotations

from dataclasses import dataclass

from services.safety.app.draft import Draft
from services.safety.app.ladder import set_in, tighten_in
from services.safety.app.state import SafetyState
from services.safety.domain.mode import Mode, ModeStatus, loosen
from services.safety.ports import StopSignal


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChange:
    """The mode that holds after a verb, and whether the verb changed anything."""

    status: ModeStatus
    changed: bool


class Modes:
    """What people do with the mode."""

    def __init__(self, state: SafetyState, stop_signal: StopSignal) -> None:
        self._state = state
        self._stop_signal = stop_signal

    def get(self) -> ModeStatus:
        """The mode that holds now."""
        return self._state.mode

    async def tighten(self, to: Mode, *, reason: str, actor: str) -> ModeChange:
        """Make the mode stricter, durably; raises Conflict for one that is less strict."""

        def work(draft: Draft) -> bool:
            return tighten_in(draft, to, actor=actor, reason=reason)

        changed = await self._state.change(work)
        return ModeChange(status=self._state.mode, changed=changed)

    async def resume(self, to: Mode = Mode.NORMAL, *, reason: str, actor: str) -> ModeChange:
        """Go back to a less strict mode: the mode first, durably, then the STOP file.

        In this order, because the file outranks the mode: a crash in between leaves everything stopped. Raises
        Conflict for a mode that is stricter than the recorded one.
        """
        stopped_by_file = self._state.mode.stop_file

        def work(draft: Draft) -> bool:
            before = draft.mode_record
            changed = set_in(draft, loosen(before, to, actor=actor, reason=reason, now=draft.now))
            if changed or stopped_by_file:
                held = Mode.STOPPED if stopped_by_file else before.mode
                draft.audit(act="mode_loosen", target="mode", before=held.name, after=to.name, reason=reason)
            return changed

        changed = await self._state.change(work)
        if stopped_by_file:
            self._stop_signal.clear()
            await self._state.change(_look)
        return ModeChange(status=self._state.mode, changed=changed or stopped_by_file)


def _look(draft: Draft) -> None:
    """Preparing the draft has noticed that the STOP file is gone, and raised the epoch."""
