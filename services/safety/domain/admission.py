"""Admission: what became of earlier attempts first, then one decision for each that wants to start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol, assert_never

from services.safety.domain.attempt import (
    FLEET,
    AttemptKey,
    Candidate,
    Outcome,
    OutcomeKind,
    counting_scopes,
    gating_scopes,
    scope_in_words,
)
from services.safety.domain.book import Book
from services.safety.domain.breaker import (
    Breaker,
    BreakerRules,
    Closed,
    ForcedClosed,
    ForcedOpen,
    HalfOpen,
    Open,
    StateName,
)
from services.safety.domain.budget_book import BudgetBook
from services.safety.domain.holding import too_many_held
from services.safety.domain.mode import ModeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One gate's no. `ask_again_at` is None when only a change of the epoch can turn it into a yes."""

    scope: str
    code: str
    reason: str
    ask_again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one candidate: admitted when no gate refused."""

    refusals: tuple[Refusal, ...] = ()

    @property
    def admitted(self) -> bool:
        """Whether the attempt may start."""
        return not self.refusals

    @property
    def foremost(self) -> Refusal:
        """The refusal that lasts longest, and so the one to wait for; only of a refused decision."""
        return max(self.refusals, key=lambda refusal: (refusal.ask_again_at is None, refusal.ask_again_at or _NEVER))


ADMITTED = Decision()
_NEVER = datetime.max


class Gate(Protocol):
    """One condition of admission. Budgets, spend and approval become gates of their own in the same list."""

    def refusals(self, candidate: Candidate, book: Book, now: datetime) -> Sequence[Refusal]:
        """Say what speaks against the candidate; takes nothing yet."""
        ...

    def take(self, candidate: Candidate, book: Book, now: datetime) -> bool:
        """Take what the candidate needs of this gate; called once every gate has said yes. True: a permit was taken."""
        ...


@dataclass(frozen=True, slots=True)
class ModeGate:
    """Refuses everything in a mode in which nothing new starts."""

    mode: ModeStatus

    def refusals(self, candidate: Candidate, book: Book, now: datetime) -> Sequence[Refusal]:
        """The mode's refusal, the same for every candidate."""
        return () if self.mode.lets_start else (mode_refusal(self.mode),)

    def take(self, candidate: Candidate, book: Book, now: datetime) -> bool:
        """A mode has nothing to give out."""
        return False


@dataclass(frozen=True, slots=True)
class BreakerGate:
    """Refuses what a breaker holds; lets one probe through when its time is over."""

    rules: BreakerRules

    def refusals(self, candidate: Candidate, book: Book, now: datetime) -> Sequence[Refusal]:
        """One refusal per breaker that holds the candidate."""
        held = []
        for scope in gating_scopes(candidate.agent, candidate.project, candidate.uses):
            breaker = book.get(scope, now)
            if breaker is not None and not breaker.lets_through(candidate.attempt, now):
                held.append(breaker_refusal(breaker))
        return held

    def take(self, candidate: Candidate, book: Book, now: datetime) -> bool:
        """Take the probe's permit of every half-open breaker in the candidate's way."""
        is_probe = False
        for scope in gating_scopes(candidate.agent, candidate.project, candidate.uses):
            breaker = book.get(scope, now)
            if breaker is not None and breaker.state.name is not StateName.CLOSED:
                admitted = breaker.admit(candidate.attempt, self.rules, now, epoch=book.epoch + 1)
                book.put(breaker, admitted, now)
                is_probe |= admitted.holder is not None
        return is_probe


def mode_refusal(mode: ModeStatus) -> Refusal:
    """Why the mode lets nothing start, or stops what runs."""
    by = f" by {mode.actor}" if mode.actor else ""
    why = f": {mode.reason}" if mode.reason else ""
    set_by = f", set{by}{why}" if by or why else ""
    reason = f"the mode is {mode.mode.name}{set_by}"
    return Refusal(scope=FLEET, code="mode", reason=reason)


def breaker_refusal(breaker: Breaker) -> Refusal:
    """Why a breaker that does not let work through holds it, and until when."""
    what = scope_in_words(breaker.scope)
    ask_again_at = None
    match breaker.state:
        case Open(deadline=deadline):
            ask_again_at = deadline.at
            reason = f"{what} is held by its breaker: {breaker.reason}; next probe at {deadline.at:%H:%M:%S} UTC"
        case HalfOpen(permit=permit):
            task = permit.holder.task if permit else "unknown"
            # An upper bound: the end of the probe raises the epoch, which is the sign to ask earlier.
            ask_again_at = permit.deadline.at if permit else None
            reason = f"{what} is held by its breaker: it waits for its probe, task {task}"
        case ForcedOpen(actor=actor):
            reason = f"{what} is held by its breaker: {actor} forced it open ({breaker.reason})"
        case Closed() | ForcedClosed():
            raise AssertionError(f"the breaker of {breaker.scope} is {breaker.state.name} and refuses nothing")
        case _:
            assert_never(breaker.state)
    return Refusal(scope=breaker.scope, code="breaker", reason=reason, ask_again_at=ask_again_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What earlier calls left behind: the ends that were taken in, and the epoch at which each attempt was admitted."""

    taken_in: Mapping[AttemptKey, None]
    admitted: Mapping[AttemptKey, int]


@dataclass(slots=True, kw_only=True)
class Decided:
    """What one call decided and what follows from it; for the caller to make durable and adopt."""

    decisions: list[Decision] = field(default_factory=list)
    taken_in: dict[AttemptKey, None] = field(default_factory=dict)
    admitted: dict[AttemptKey, int] = field(default_factory=dict)


def decide(
    outcomes: Sequence[Outcome],
    candidates: Sequence[Candidate],
    *,
    book: Book,
    memory: Memory,
    mode: ModeStatus,
    gates: Sequence[Gate],
    rules: BreakerRules,
    now: datetime,
    draw: Callable[[], float],
    budgets: BudgetBook,
) -> Decided:
    """Take in the outcomes in their order, then decide on the candidates in theirs; changes `book` alone.

    An outcome that was taken in before is passed over. An admission that was given is given again, unless the mode has
    come to forbid starts; it is forgotten when its outcome comes. `draw` gives a number in [0, 1), asked for only
    when an attempt failed. When a breaker was held back because too many agents are held, `book.overload` says so.
    """
    decided = Decided()
    for outcome in outcomes:
        if outcome.attempt not in memory.taken_in and outcome.attempt not in decided.taken_in:
            decided.taken_in[outcome.attempt] = None
            budgets.take_in(outcome)
            _take_in(outcome, book, memory, rules, now, draw)
    for candidate in candidates:
        decided.decisions.append(_decide_one(candidate, book, memory, decided, mode, gates, now))
    return decided


def _take_in(
    outcome: Outcome,
    book: Book,
    memory: Memory,
    rules: BreakerRules,
    now: datetime,
    draw: Callable[[], float],
) -> None:
    if outcome.kind is not OutcomeKind.NEUTRAL:
        book.roster.note(outcome.agent, outcome.project, now)
    # The reporter's word goes first: it is of the answer by which the attempt was started, and outlives a restart.
    record = partial(
        Breaker.record,
        attempt=outcome.attempt,
        kind=outcome.kind,
        rules=rules,
        now=now,
        agent=outcome.agent,
        detail=outcome.detail,
        admitted_epoch=outcome.epoch or memory.admitted.get(outcome.attempt, 0),
        jitter=draw() if outcome.kind is OutcomeKind.FAILURE else 0.5,
    )
    for scope in counting_scopes(outcome.agent, outcome.project, outcome.uses):
        before = book.get_or_new(scope, now)
        after = record(before, epoch=book.epoch + 1)
        if after.state.name is StateName.OPEN and before.state.name is StateName.CLOSED:
            too_many = too_many_held(book, scope, rules, now)
            if too_many:
                book.overload = too_many
                after = record(before, epoch=book.epoch + 1, may_open=False)
        book.put(before, after, now)


def _decide_one(
    candidate: Candidate,
    book: Book,
    memory: Memory,
    decided: Decided,
    mode: ModeStatus,
    gates: Sequence[Gate],
    now: datetime,
) -> Decision:
    known = candidate.attempt in memory.admitted and candidate.attempt not in decided.taken_in
    if known and mode.lets_start:
        return ADMITTED
    refusals: list[Refusal] = []
    for gate in gates:
        refusals.extend(gate.refusals(candidate, book, now))
    if refusals:
        return Decision(tuple(refusals))
    is_probe = False
    for gate in gates:
        is_probe |= gate.take(candidate, book, now)
    if not is_probe:
        # A probe's admission lives in its permit alone: remembered here it would outlive an expired permit, and be
        # given again beside the next probe.
        decided.admitted[candidate.attempt] = book.epoch
    return ADMITTED
