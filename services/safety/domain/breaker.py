"""The circuit breaker of one scope: what fails again and again is not started again and again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.safety.domain.attempt import AttemptKey, OutcomeKind, is_shared
from services.safety.domain.deadline import Deadline


class StateName(StrEnum):
    """The five states, as they are stored and shown."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """The numbers of the breaker. `jitter` is the share by which an open time may be longer or shorter."""

    consecutive_failures: int = 3
    window: int = 20
    window_minimum: int = 8
    failure_share: float = 0.5
    open_time: timedelta = timedelta(seconds=300)
    open_time_max: timedelta = timedelta(hours=1)
    jitter: float = 0.2
    successes_to_close: int = 2
    permit_time: timedelta = timedelta(seconds=35)
    """Lease plus 15 s: a probe that nobody renews for so long gives its permit back."""
    culprits_min: int = 3
    """From so many agents the failures must come that open the breaker of a project or of the fleet."""
    held_agents_min: int = 5
    held_share_max: float = 0.3
    """From so many held agents on, automatic trips may hold at most this share of the agents that ran in 24 h."""

    def open_for(self, trips: int, jitter: float) -> timedelta:
        """How long the breaker stays open after `trips` earlier trips in a row; `jitter` is a number in [0, 1)."""
        doubled = self.open_time * (1 << min(trips, 16))
        return min(doubled, self.open_time_max) * (1 + self.jitter * (2 * jitter - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """The right of one attempt to be the probe. Its epoch is the breaker's while it is held."""

    holder: AttemptKey
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Closed:
    """Work flows; ends are counted."""

    name = StateName.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Nothing starts until the deadline; `trips` earlier trips in a row came before this one."""

    name = StateName.OPEN
    deadline: Deadline
    trips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfOpen:
    """One probe at a time; `successes` of them have gone well."""

    name = StateName.HALF_OPEN
    trips: int
    successes: int = 0
    permit: Permit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedOpen:
    """Held open by a person until a person resets it."""

    name = StateName.FORCED_OPEN
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedClosed:
    """Held closed by a person until the deadline; nothing is counted meanwhile."""

    name = StateName.FORCED_CLOSED
    actor: str
    deadline: Deadline


State = Closed | Open | HalfOpen | ForcedOpen | ForcedClosed

_ANY_FORCE = frozenset({StateName.FORCED_OPEN, StateName.FORCED_CLOSED, StateName.CLOSED})
LEGAL_MOVES: dict[StateName, frozenset[StateName]] = {
    StateName.CLOSED: _ANY_FORCE | {StateName.OPEN},
    StateName.OPEN: _ANY_FORCE | {StateName.HALF_OPEN},
    StateName.HALF_OPEN: _ANY_FORCE | {StateName.OPEN},
    StateName.FORCED_OPEN: _ANY_FORCE,
    StateName.FORCED_CLOSED: _ANY_FORCE,
}
"""Where each state may move to; a person's verbs (force open, force closed, reset) are legal from anywhere."""


_STRICTNESS = {
    StateName.FORCED_CLOSED: 0,
    StateName.CLOSED: 1,
    StateName.HALF_OPEN: 2,
    StateName.OPEN: 3,
    StateName.FORCED_OPEN: 4,
}
"""How little a state lets through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The breaker of one scope.

    `epoch` is the number of the last change of state, taken from one count over all breakers, so that a single number
    says under which states an attempt was admitted. `recent` holds the last counted ends as bits, newest lowest,
    1 = failed; `attempts` says how many of those bits are real. In a shared scope `culprits` names the agent of each
    of those failures, newest first, and `consecutive` stays 0.
    """

    scope: str
    state: State = Closed()
    epoch: int = 0
    consecutive: int = 0
    recent: int = 0
    attempts: int = 0
    reason: str = ""
    culprits: tuple[str, ...] = ()

    @property
    def failures(self) -> int:
        """How many of the counted ends in the window failed."""
        return self.recent.bit_count()

    @property
    def holder(self) -> AttemptKey | None:
        """The attempt that is the probe now."""
        state = self.state
        return state.permit.holder if isinstance(state, HalfOpen) and state.permit else None

    def as_of(self, now: datetime, *, epoch: int) -> Breaker:
        """What time alone has made of the breaker: an unrenewed permit is given back, a force that ended is lifted.

        Time left is held within 0 … the full time, so that no jump of the clock makes a wait longer than it was meant
        to be. An open breaker whose time is over stays open until a probe is taken. `epoch` is the number that a
        change of state would get.
        """
        match self.state:
            case Open(deadline=deadline) as state if deadline.clamped(now) is not deadline:
                return replace(self, state=replace(state, deadline=deadline.clamped(now)))
            case HalfOpen(permit=Permit(deadline=deadline)) as state if deadline.passed(now):
                return replace(self, state=replace(state, permit=None))
            case HalfOpen(permit=Permit(deadline=deadline) as permit) as state if deadline.clamped(now) is not deadline:
                return replace(self, state=replace(state, permit=replace(permit, deadline=deadline.clamped(now))))
            case ForcedClosed(deadline=deadline) if deadline.passed(now):
                return self._move(Closed(), epoch, "the time for which it was forced closed is over")
            case ForcedClosed(deadline=deadline) as state if deadline.clamped(now) is not deadline:
                return replace(self, state=replace(state, deadline=deadline.clamped(now)))
        return self

    def loaded(self, now: datetime) -> Breaker:
        """The breaker as a service finds it when it starts.

        The time left is held within 0 … the full time. A permit begins its full time anew: while the service was away
        nobody could renew it, and the probe may still be running; were it given away, there would be two probes.
        """
        match self.state:
            case HalfOpen(permit=Permit(deadline=deadline) as permit) as state:
                fresh = replace(permit, deadline=Deadline.after(deadline.full, now=now))
                return replace(self, state=replace(state, permit=fresh))
            case Open(deadline=deadline) | ForcedClosed(deadline=deadline) as state:
                return replace(self, state=replace(state, deadline=deadline.clamped(now)))
        return self

    def shifted(self, step: timedelta) -> Breaker:
        """The same waits after the wall clock was set by `step`: each is as long as it was."""
        match self.state:
            case HalfOpen(permit=Permit(deadline=deadline) as permit) as state:
                moved = replace(permit, deadline=deadline.shifted(step))
                return replace(self, state=replace(state, permit=moved))
            case Open(deadline=deadline) | ForcedClosed(deadline=deadline) as state:
                return replace(self, state=replace(state, deadline=deadline.shifted(step)))
        return self

    def lets_through(self, attempt: AttemptKey, now: datetime) -> bool:
        """Whether `attempt` may start as far as this breaker, as of `now`, is concerned."""
        match self.state:
            case Closed() | ForcedClosed():
                return True
            case Open(deadline=deadline):
                return deadline.passed(now)
            case HalfOpen(permit=permit):
                return permit is None or permit.holder == attempt
            case ForcedOpen():
                return False

    def admit(self, attempt: AttemptKey, rules: BreakerRules, now: datetime, *, epoch: int) -> Breaker:
        """Take the probe's permit for `attempt` where one is needed; elsewhere nothing changes.

        Call it only when `lets_through` said yes; otherwise AssertionError.
        """
        assert self.lets_through(attempt, now), f"{self.scope} does not let {attempt} through"
        match self.state:
            case Open(trips=trips):
                permit = Permit(holder=attempt, deadline=Deadline.after(rules.permit_time, now=now))
                reason = f"its time is over; task {attempt.task} is the probe"
                return self._move(HalfOpen(trips=trips, permit=permit), epoch, reason)
            case HalfOpen() as state:
                # Asked again by its own probe, whose answer was lost: it begins now.
                permit = Permit(holder=attempt, deadline=Deadline.after(rules.permit_time, now=now))
                return replace(self, state=replace(state, permit=permit))
        return self

    def renew(self, attempt: AttemptKey, rules: BreakerRules, now: datetime) -> Breaker:
        """Prolong the permit that `attempt` holds; nothing changes when it holds none."""
        match self.state:
            case HalfOpen(permit=Permit(holder=holder)) as state if holder == attempt:
                permit = Permit(holder=holder, deadline=Deadline.after(rules.permit_time, now=now))
                return replace(self, state=replace(state, permit=permit))
        return self

    def record(
        self,
        attempt: AttemptKey,
        kind: OutcomeKind,
        rules: BreakerRules,
        now: datetime,
        *,
        agent: str = "",
        detail: str = "",
        admitted_epoch: int = 0,
        epoch: int,
        jitter: float = 0.5,
        may_open: bool = True,
    ) -> Breaker:
        """Count the end of one attempt of `agent`.

        Closed counts what was admitted since its last change of state (`admitted_epoch` 0 = not known, counted), and
        opens by its rule unless it may not. Half-open listens to its probe alone. Open and forced states listen to
        nobody.
        """
        match self.state:
            case Closed() if kind is not OutcomeKind.NEUTRAL and not 0 < admitted_epoch < self.epoch:
                if kind is OutcomeKind.SUCCESS:
                    return self._count_success(rules)
                counted = self._count_failure(rules, agent)
                cause = counted._trip_cause(rules) if may_open else ""
                return counted._trip(cause, rules, now, detail, epoch, jitter) if cause else counted
            case HalfOpen(permit=Permit(holder=holder)) as state if holder == attempt:
                return self._end_probe(state, kind, rules, now, detail=detail, epoch=epoch, jitter=jitter)
        return self

    def held_as(self, other: Breaker, now: datetime, *, epoch: int) -> Breaker:
        """As `other`, a record of the same breaker, where that lets less through; else nothing changes.

        A permit of `other` is given back: no probe of it goes on.
        """
        stricter = _STRICTNESS[other.state.name] > _STRICTNESS[self.state.name]
        if not stricter or other.state.name is StateName.CLOSED:
            return self
        held = other.loaded(now)
        state = replace(held.state, permit=None) if isinstance(held.state, HalfOpen) else held.state
        return replace(held, state=state, epoch=epoch)

    def force_open(self, *, actor: str, reason: str, epoch: int) -> Breaker:
        """Hold it open until it is reset."""
        return self._move(ForcedOpen(actor=actor), epoch, reason)

    def force_closed(self, *, actor: str, reason: str, lasting: timedelta, now: datetime, epoch: int) -> Breaker:
        """Hold it closed for `lasting`; what it had counted is forgotten."""
        return self._move(ForcedClosed(actor=actor, deadline=Deadline.after(lasting, now=now)), epoch, reason)

    def reset(self, *, reason: str, epoch: int) -> Breaker:
        """Close it and forget what it had counted."""
        return self._move(Closed(), epoch, reason)

    def _move(self, state: State, epoch: int, reason: str) -> Breaker:
        """Change the state. Counts begin anew, so that an old streak cannot reopen a breaker that was just closed."""
        assert state.name in LEGAL_MOVES[self.state.name], f"{self.scope}: {self.state.name} → {state.name}"
        assert epoch > self.epoch, f"{self.scope}: epoch {epoch} after {self.epoch}"
        return Breaker(scope=self.scope, state=state, epoch=epoch, reason=reason)

    def _count_success(self, rules: BreakerRules) -> Breaker:
        recent = (self.recent << 1) & ((1 << rules.window) - 1)
        attempts = min(self.attempts + 1, rules.window)
        if not self.consecutive and recent == self.recent and attempts == self.attempts:
            return self  # a clean, full window: nothing to write
        return Breaker(
            scope=self.scope,
            epoch=self.epoch,
            recent=recent,
            attempts=attempts,
            reason=self.reason,
            state=self.state,
            culprits=self.culprits[: recent.bit_count()],
        )

    def _count_failure(self, rules: BreakerRules, agent: str) -> Breaker:
        shared = is_shared(self.scope)
        recent = ((self.recent << 1) | 1) & ((1 << rules.window) - 1)
        return replace(
            self,
            consecutive=0 if shared else self.consecutive + 1,
            recent=recent,
            attempts=min(self.attempts + 1, rules.window),
            culprits=(agent, *self.culprits)[: recent.bit_count()] if shared else (),
        )

    def _trip(self, cause: str, rules: BreakerRules, now: datetime, detail: str, epoch: int, jitter: float) -> Breaker:
        opened = Open(deadline=Deadline.after(rules.open_for(0, jitter), now=now), trips=0)
        moved = self._move(opened, epoch, cause + (f", last: {detail.rstrip('.')}" if detail else ""))
        return replace(moved, consecutive=self.consecutive, recent=self.recent, attempts=self.attempts)

    def _trip_cause(self, rules: BreakerRules) -> str:
        """Why a breaker that has just counted a failure opens; empty when it does not."""
        if is_shared(self.scope):
            return self._trip_cause_shared(rules)
        if self.consecutive >= rules.consecutive_failures:
            return f"{self.consecutive} failures in a row"
        if self.attempts >= rules.window_minimum and self.failures >= rules.failure_share * self.attempts:
            return f"{self.failures} of the last {self.attempts} attempts failed"
        return ""

    def _trip_cause_shared(self, rules: BreakerRules) -> str:
        """Only a full window opens what many share, and only failures of several agents (docs/decisions/0016)."""
        if self.attempts < rules.window or self.failures < rules.failure_share * rules.window:
            return ""
        culprits = len(set(self.culprits))
        if culprits < rules.culprits_min:
            return ""
        return f"{self.failures} of the last {self.attempts} attempts failed, those of {culprits} agents"

    def _end_probe(
        self,
        state: HalfOpen,
        kind: OutcomeKind,
        rules: BreakerRules,
        now: datetime,
        *,
        detail: str,
        epoch: int,
        jitter: float,
    ) -> Breaker:
        """Take the permit back and draw the conclusion from what the probe did."""
        if kind is OutcomeKind.NEUTRAL:
            return replace(self, state=replace(state, permit=None))
        if kind is OutcomeKind.FAILURE:
            trips = state.trips + 1
            opened = Open(deadline=Deadline.after(rules.open_for(trips, jitter), now=now), trips=trips)
            return self._move(opened, epoch, "the probe failed" + (f": {detail.rstrip('.')}" if detail else ""))
        if state.successes + 1 >= rules.successes_to_close:
            return self._move(Closed(), epoch, f"{state.successes + 1} probes in a row went well")
        return replace(self, state=replace(state, successes=state.successes + 1, permit=None))
