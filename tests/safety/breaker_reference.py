"""A simple reference of admission by breakers, in memory and on disk, written from the rules and not from the code.

A scope is one tuple that is replaced when it changes, so that a copy of everything is a copy of one dict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from services.safety.domain.attempt import AttemptKey, Candidate, Outcome
from services.safety.domain.breaker import BreakerRules

NO_TIME = timedelta(0)


class Scope(NamedTuple):
    """One breaker. `until` is the end of whatever wait the state has, `full` how long that wait is in all."""

    state: str = "closed"
    moved: int = 0
    streak: int = 0
    window: tuple[str, ...] = ()
    """The last counted ends, newest first: "" for a success, the agent's name for a failure."""
    until: datetime | None = None
    full: timedelta = NO_TIME
    trips: int = 0
    good: int = 0
    holder: AttemptKey | None = None


NEW = Scope()


@dataclass(slots=True, kw_only=True)
class Reference:
    """Every scope, the ends that were heard, and the admissions that were given."""

    rules: BreakerRules
    scopes: dict[str, Scope] = field(default_factory=dict)
    on_disk: dict[str, Scope] = field(default_factory=dict)
    heard: set[AttemptKey] = field(default_factory=set)
    heard_unwritten: set[AttemptKey] = field(default_factory=set)
    given: set[AttemptKey] = field(default_factory=set)
    moves: int = 1
    durable: bool = False

    # -- what survives

    def written(self) -> None:
        """Everything that is known is on disk now."""
        self.on_disk = dict(self.scopes)
        self.heard_unwritten.clear()
        self.durable = False

    def crash(self, now: datetime) -> None:
        """Memory is lost. A wait has at most its full length left, a permit begins anew; that is written at once."""
        self.heard -= self.heard_unwritten
        self.given.clear()
        self.scopes = {name: self._loaded(scope, now) for name, scope in self.on_disk.items()}
        self.written()

    def _loaded(self, scope: Scope, now: datetime) -> Scope:
        if scope.until is None:
            return scope
        anew = now + scope.full
        return scope._replace(until=anew if scope.holder else min(scope.until, anew))

    def clock_set(self, step: timedelta) -> None:
        """The wall clock was set; every wait is as long as it was."""
        for name, scope in self.scopes.items():
            if scope.until is not None:
                self.scopes[name] = scope._replace(until=scope.until + step)

    # -- one call

    def call(self, outcomes: Iterable[Outcome], candidates: Iterable[Candidate], now: datetime) -> list[bool]:
        """Outcomes in order, then a yes or no for each candidate; `durable` says whether it may be forgotten."""
        for outcome in outcomes:
            if outcome.attempt not in self.heard:
                self.heard.add(outcome.attempt)
                self.heard_unwritten.add(outcome.attempt)
                for name in scopes_of(outcome):
                    self._put(name, self._counted(self.look(name, now), name, outcome, now))
                self.given.discard(outcome.attempt)
        return [self._decide(candidate, now) for candidate in candidates]

    def _decide(self, candidate: Candidate, now: datetime) -> bool:
        if candidate.attempt in self.given:
            return True
        seen = {name: self.look(name, now) for name in scopes_of(candidate)}
        if not all(lets_through(scope, candidate.attempt, now) for scope in seen.values()):
            return False
        probe = False
        for name in reversed(seen):  # the widest first
            scope = self.look(name, now)
            if scope.state == "open":
                scope = self._move(scope, "half_open", trips=scope.trips)
            if scope.state == "half_open":
                probe = True
                full = self.rules.permit_time
                scope = scope._replace(holder=candidate.attempt, until=now + full, full=full)
            self._put(name, scope)
        if not probe:
            self.given.add(candidate.attempt)
        return True

    def renew(self, attempts: Iterable[AttemptKey], now: datetime) -> None:
        """The heartbeat of those that run."""
        running = set(attempts)
        for name, scope in list(self.scopes.items()):
            if scope.holder in running and self.look(name, now).holder in running:
                full = self.rules.permit_time
                self._put(name, self.scopes[name]._replace(until=now + full, full=full))

    def force(self, name: str, state: str, lasting: timedelta | None, now: datetime) -> None:
        """A person's verb."""
        scope = self._move(self.look(name, now), state)
        self._put(name, scope._replace(until=now + lasting, full=lasting) if lasting else scope)

    # -- one scope

    def look(self, name: str, now: datetime) -> Scope:
        """What time has made of it."""
        scope = self.scopes.get(name, NEW)
        if scope.until is not None and now >= scope.until:
            if scope.state == "half_open":
                scope = scope._replace(holder=None, until=None)
            elif scope.state == "forced_closed":
                scope = self._move(scope, "closed")
        if name in self.scopes:
            self._put(name, scope)
        return scope

    def _counted(self, scope: Scope, name: str, outcome: Outcome, now: datetime) -> Scope:
        if scope.state == "half_open" and scope.holder == outcome.attempt:
            return self._probe_ended(scope, outcome.kind.value, now)
        known = outcome.epoch  # when it was let start, in the moves of this reference; 0: not known
        if scope.state != "closed" or outcome.kind.value == "neutral" or 0 < known < scope.moved:
            return scope
        failed = outcome.kind.value == "failure"
        window = (outcome.agent if failed else "", *scope.window)[: self.rules.window]
        scope = scope._replace(streak=scope.streak + 1 if failed else 0, window=window)
        if not failed or not self._trips(scope, name):
            return scope
        opened = self._open(scope, 0, now)
        return opened._replace(streak=scope.streak, window=scope.window)

    def _trips(self, scope: Scope, name: str) -> bool:
        failures = [agent for agent in scope.window if agent]
        enough = len(failures) >= self.rules.failure_share * len(scope.window)
        if name == "fleet" or name.startswith("project:"):
            full = len(scope.window) == self.rules.window
            return full and enough and len(set(failures)) >= self.rules.culprits_min
        in_a_row = scope.streak >= self.rules.consecutive_failures
        return in_a_row or (enough and len(scope.window) >= self.rules.window_minimum)

    def _probe_ended(self, scope: Scope, kind: str, now: datetime) -> Scope:
        if kind == "failure":
            return self._open(scope, scope.trips + 1, now)
        good = scope.good + (kind == "success")
        if good >= self.rules.successes_to_close:
            return self._move(scope, "closed")
        return scope._replace(good=good, holder=None, until=None)

    def _open(self, scope: Scope, trips: int, now: datetime) -> Scope:
        full = min(self.rules.open_time * 2**trips, self.rules.open_time_max)
        return self._move(scope, "open", trips=trips)._replace(until=now + full, full=full)

    def _move(self, scope: Scope, state: str, *, trips: int = 0) -> Scope:
        self.moves += 1
        return Scope(state=state, moved=self.moves, trips=trips)

    def _put(self, name: str, scope: Scope) -> None:
        before = self.scopes.get(name, NEW)
        if scope is before or scope == before:
            return
        self.scopes[name] = scope
        streak = 0 if name == "fleet" or name.startswith("project:") else scope.streak - before.streak
        self.durable |= bool(streak) or (scope.moved, scope.holder) != (before.moved, before.holder)


def scopes_of(of: Outcome | Candidate) -> tuple[str, ...]:
    """Where it counts and what can hold it, the narrowest first."""
    project = (f"project:{of.project}",) if of.project else ()
    return (f"agent:{of.agent}", *of.uses, *project, "fleet")


def lets_through(scope: Scope, attempt: AttemptKey, now: datetime) -> bool:
    """Whether the scope lets the attempt start."""
    match scope.state:
        case "closed" | "forced_closed":
            return True
        case "open":
            return scope.until is not None and now >= scope.until
        case "half_open":
            return scope.holder in (None, attempt)
        case _:
            return False
