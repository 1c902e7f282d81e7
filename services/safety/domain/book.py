"""The working copy of every breaker in which one decision is prepared; nothing counts until it is adopted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.safety.domain.attempt import AttemptKey
from services.safety.domain.breaker import Breaker, StateName
from services.safety.domain.roster import Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChange:
    """One line of a breaker's history. `actor` is empty when it moved by itself."""

    scope: str
    at: datetime
    before: StateName
    after: StateName
    epoch: int
    reason: str
    actor: str = ""


class Book:
    """Breakers as they would be after the decision, and what has to be written for it.

    `epoch` is the one number over mode and breakers: it grows with each change that could make another decision come
    out differently, be it a state that moved or a permit that was given back.
    """

    def __init__(self, breakers: Mapping[str, Breaker], epoch: int, roster: Roster) -> None:
        self._base = breakers
        self.roster = roster
        self.epoch = epoch
        self.changed: dict[str, Breaker] = {}
        self.history: list[BreakerChange] = []
        self.must_be_durable = False
        """Whether forgetting this after a crash could open a breaker early or late, or let two probes out."""
        self.overload = ""
        """Why a breaker that should have opened was not let to, as a sentence; empty when none was held back."""

    def get(self, scope: str, now: datetime) -> Breaker | None:
        """The breaker as of `now`; None when nothing was ever counted or forced in that scope."""
        breaker = self.changed.get(scope) or self._base.get(scope)
        if breaker is None or breaker.state.name is StateName.CLOSED:
            return breaker
        current = breaker.as_of(now, epoch=self.epoch + 1)
        if current is not breaker:
            self.put(breaker, current, now)
        return current

    def get_or_new(self, scope: str, now: datetime) -> Breaker:
        """The breaker as of `now`, a closed one where there is none."""
        return self.get(scope, now) or Breaker(scope=scope)

    def put(self, before: Breaker, after: Breaker, now: datetime, *, actor: str = "") -> None:
        """Take over `after`, which was made of `before`; notes the history when the state has moved."""
        if after is before:
            return
        self.changed[after.scope] = after
        if after.epoch != before.epoch:
            self.epoch = after.epoch
            self.must_be_durable = True
            self.history.append(_change(before, after, now, actor))
        elif after.holder != before.holder:
            self.must_be_durable = True
            self.epoch += after.holder is None  # those who waited for the probe may ask again
        elif after.consecutive != before.consecutive:
            self.must_be_durable = True

    def all(self) -> Iterable[tuple[str, Breaker]]:
        """Every breaker that ever counted or was forced, by scope; what time has made of it is left out."""
        return {**self._base, **self.changed}.items()

    def follow_clock(self, step: timedelta) -> None:
        """The wall clock was set by `step`: every wait stays as long as it was."""
        if not step:
            return
        for scope, breaker in self._base.items():
            shifted = breaker.shifted(step)
            if shifted is not breaker:
                self.changed[scope] = shifted

    def holders(self) -> Mapping[AttemptKey, list[str]]:
        """The probes that are out, each with the scopes whose permit it holds."""
        held: dict[AttemptKey, list[str]] = {}
        for scope, breaker in self.all():
            if breaker.holder is not None:
                held.setdefault(breaker.holder, []).append(scope)
        return held


def _change(before: Breaker, after: Breaker, now: datetime, actor: str) -> BreakerChange:
    return BreakerChange(
        scope=after.scope,
        at=now,
        before=before.state.name,
        after=after.state.name,
        epoch=after.epoch,
        reason=after.reason,
        actor=actor,
    )
