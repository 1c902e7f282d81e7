"""The breakers' verbs: list, force open, force closed, reset."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from foundation.errors import Invalid, NotFound, did_you_mean
from services.safety.app.draft import Draft
from services.safety.app.state import SafetyState
from services.safety.domain.attempt import FLEET
from services.safety.domain.book import Book, BreakerChange
from services.safety.domain.breaker import Breaker, StateName
from services.safety.domain.roster import Roster
from services.safety.ports import SafetyStore

FORCE_CLOSED_MAX = timedelta(days=7)
NO_REASON = "no reason given"
HISTORY_SHOWN_MAX = 20
_SCOPE = re.compile(r"(agent|cloud|project):[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerView:
    """A breaker as of the moment of asking, with its newest changes first."""

    breaker: Breaker
    history: tuple[BreakerChange, ...]


class Breakers:
    """What people do with breakers."""

    def __init__(self, state: SafetyState, store: SafetyStore) -> None:
        self._state = state
        self._store = store

    async def list(self, *, not_closed: bool) -> Sequence[BreakerView]:
        """Every breaker that ever counted or was forced, by scope; `not_closed` leaves out the closed ones."""
        book = Book(self._state.breakers, self._state.epoch, Roster(self._state.roster))
        now = self._state.clock.now()
        current = [book.get_or_new(scope, now) for scope in sorted(self._state.breakers)]
        history = await self._store.history(HISTORY_SHOWN_MAX)
        return [
            BreakerView(breaker=breaker, history=history.get(breaker.scope, ()))
            for breaker in current
            if not (not_closed and breaker.state.name is StateName.CLOSED)
        ]

    async def force_open(self, scope: str, *, reason: str, actor: str) -> BreakerView:
        """Hold a scope until it is reset, also over restarts; raises Invalid for what is no scope."""
        _require_scope(scope)
        return await self._move(
            scope,
            "breaker_force_open",
            actor,
            lambda breaker, draft: breaker.force_open(
                actor=actor, reason=reason or NO_REASON, epoch=draft.book.epoch + 1
            ),
            tightens=True,
        )

    async def force_closed(self, scope: str, *, lasting: timedelta | None, reason: str, actor: str) -> BreakerView:
        """Let a scope through for `lasting`; raises Invalid without a time, or for one over seven days."""
        _require_scope(scope)
        if lasting is None or not timedelta(0) < lasting <= FORCE_CLOSED_MAX:
            raise Invalid(
                "bad_force_time",
                "A breaker is forced closed for a stated time, more than nothing and at most 7 days.",
                remedy="Say for how long, as in `--for 1h`.",
            )
        return await self._move(
            scope,
            "breaker_force_closed",
            actor,
            lambda breaker, draft: breaker.force_closed(
                actor=actor,
                reason=reason or NO_REASON,
                lasting=lasting,
                now=draft.now,
                epoch=draft.book.epoch + 1,
            ),
        )

    async def reset(self, scope: str, *, reason: str, actor: str) -> BreakerView:
        """Close a breaker and forget what it had counted; raises NotFound where there is none."""
        _require_scope(scope)
        if scope not in self._state.breakers:
            near = did_you_mean(scope, self._state.breakers)
            raise NotFound(
                "no_breaker",
                f"There is no breaker for {scope}: nothing was counted there yet.",
                remedy=f"Did you mean {near}?" if near else "`quantum breaker` lists them.",
            )
        said = reason or f"{actor} reset it"
        return await self._move(
            scope,
            "breaker_reset",
            actor,
            lambda breaker, draft: breaker.reset(reason=said, epoch=draft.book.epoch + 1),
        )

    async def _move(
        self,
        scope: str,
        act: str,
        actor: str,
        move: Callable[[Breaker, Draft], Breaker],
        *,
        tightens: bool = False,
    ) -> BreakerView:
        def work(draft: Draft) -> Breaker:
            before = draft.book.get_or_new(scope, draft.now)
            after = move(before, draft)
            draft.book.put(before, after, draft.now, actor=actor)
            draft.audit(
                act=act,
                target=scope,
                before=before.state.name.value,
                after=after.state.name.value,
                reason=after.reason,
                tightens=tightens,
            )
            return after

        breaker = await self._state.change(work)
        history = await self._store.history(HISTORY_SHOWN_MAX)
        return BreakerView(breaker=breaker, history=history.get(scope, ()))


def _require_scope(scope: str) -> None:
    if scope != FLEET and not _SCOPE.fullmatch(scope):
        raise Invalid(
            "bad_scope",
            f"{scope!r} is not the scope of a breaker.",
            remedy="Write agent:<name>, cloud:<provider>, project:<name> or fleet.",
        )
