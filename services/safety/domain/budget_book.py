"""Every error budget in memory, and the working copy in which one decision is prepared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.safety.domain.attempt import AttemptKey, Outcome, OutcomeKind
from services.safety.domain.breaker import Permit
from services.safety.domain.budget import (
    Acting,
    BudgetRules,
    Forgiven,
    Grade,
    Standing,
    begin,
    budget_scopes,
    grade_now,
    minute_of,
    starting_scopes,
    thaws_at,
)
from services.safety.domain.budget_counts import WEEK_MINUTES, Bucket, Counts, Tally
from services.safety.domain.deadline import Deadline

_NOTHING = Counts()
_ONE_SUCCESS, _ONE_FAILURE = Tally(1, 0), Tally(1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRecords:
    """Budgets as a store keeps them: all that it holds (minutes in order), or what one commit writes.

    A commit first forgets the minutes up to one and the scopes that were cleared, then writes the rest.
    """

    standings: tuple[Standing, ...] = ()
    buckets: tuple[tuple[str, Bucket], ...] = ()
    cleared: frozenset[str] = frozenset()
    forget_up_to: int = 0

    def __bool__(self) -> bool:
        return bool(self.standings or self.buckets or self.cleared)

    def with_(self, written: BudgetRecords) -> BudgetRecords:
        """What a store holds once a commit has been written."""
        oldest = written.forget_up_to if written.buckets else 0
        buckets = {
            (bucket.minute, scope): (scope, bucket)
            for scope, bucket in self.buckets
            if bucket.minute > oldest and scope not in written.cleared
        }
        buckets |= {(bucket.minute, scope): (scope, bucket) for scope, bucket in written.buckets}
        standings = {one.scope: one for one in (*self.standings, *written.standings)}
        return BudgetRecords(standings=tuple(standings.values()), buckets=tuple(buckets[at] for at in sorted(buckets)))


NO_BUDGETS = BudgetRecords()


@dataclass(slots=True)
class BudgetsOwed:
    """What memory holds newer than the store: scopes whose standing changed or was cleared, and minutes."""

    standings: set[str] = field(default_factory=set)
    minutes: set[tuple[str, int]] = field(default_factory=set)
    cleared: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.standings or self.minutes or self.cleared)

    def add(self, other: BudgetsOwed) -> None:
        """Owe that as well."""
        self.standings |= other.standings
        self.minutes |= other.minutes
        self.cleared |= other.cleared


@dataclass(slots=True, kw_only=True)
class Budgets:
    """The counts and standings of every scope that ever counted something, as they hold now."""

    counts: dict[str, Counts] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    acting: set[str] = field(default_factory=set)
    """The scopes in which something is in force; all others cost the way of an attempt nothing."""

    @classmethod
    def of(cls, records: BudgetRecords) -> Budgets:
        """What a store holds."""
        budgets = cls()
        for scope, bucket in records.buckets:
            budgets.add(scope, bucket.minute, Tally(bucket.attempts, bucket.failures))
        for standing in records.standings:
            budgets.put(standing)
        return budgets

    def put(self, standing: Standing) -> None:
        """Take over a scope's standing."""
        self.standings[standing.scope] = standing
        if standing.acting:
            self.acting.add(standing.scope)
        else:
            self.acting.discard(standing.scope)

    def fill_up(self, records: BudgetRecords) -> set[tuple[str, int]]:
        """Count what other records of the same budgets have counted beyond these; the minutes that are to be kept."""
        filled = set()
        for scope, bucket in records.buckets:
            here = (
                self.counts[scope].at(bucket.minute)
                if scope in self.counts
                else bucket._replace(attempts=0, failures=0)
            )
            more = Tally(max(0, bucket.attempts - here.attempts), max(0, bucket.failures - here.failures))
            if any(more):
                filled.add((scope, self.add(scope, bucket.minute, more)))
        return filled

    def add(self, scope: str, minute: int, tally: Tally) -> int:
        """Count ends of a minute; return the minute under which they are kept."""
        counts = self.counts.get(scope)
        if counts is None:
            counts = self.counts[scope] = Counts()
        return counts.add(minute, tally)


class BudgetBook:
    """The budgets as they would be after the decision, and what has to be written for it.

    Successes are summed up by whose they are, because nothing follows from one: an agent without a failure costs one
    addition per attempt.
    """

    def __init__(self, base: Budgets, rules: BudgetRules, now: datetime) -> None:
        self._base = base
        self._rules = rules
        self._now = now
        self._minute = minute_of(now)
        self._well: defaultdict[tuple[str, str, tuple[str, ...]], int] = defaultdict(int)
        self._tallies: dict[str, Tally] = {}
        self._thaws: dict[str, datetime] = {}
        self._looked_at: set[str] = set()
        self.holds_anything = bool(base.acting)
        """Whether anything at all is in force: asked before each candidate, so that health costs nothing."""
        self.changed: dict[str, Standing] = {}
        self.cleared: set[str] = set()
        """Scopes whose counts were forgotten."""
        self.moves = 0
        """How often something changed that could make another decision come out differently."""
        self.must_be_durable = False
        """Whether forgetting this after a crash could lose a failure, a standing, or the one attempt of a scope."""

    # -- ends

    def take_in(self, outcome: Outcome) -> None:
        """Count the end of an attempt, once; it gives back the place that it held whatever its end."""
        kind = outcome.kind
        if kind is OutcomeKind.SUCCESS:
            self._well[outcome.agent, outcome.project, outcome.uses] += 1
        if kind is OutcomeKind.FAILURE or self.holds_anything:
            self._follow(outcome)

    def _follow(self, outcome: Outcome) -> None:
        """What follows from an end that is not the success of one for whom nothing is in force."""
        self._give_back(outcome)
        scopes = budget_scopes(outcome.agent, outcome.project, outcome.uses)
        if outcome.kind is OutcomeKind.FAILURE:
            self.count(scopes, failed=True)
        elif outcome.kind is OutcomeKind.SUCCESS:
            self._forget_looks(scopes)

    def count(self, scopes: Sequence[str], *, failed: bool) -> None:
        """Count one end in each of these scopes; what follows from it is in force at once."""
        for scope in scopes:
            self._add(scope, _ONE_FAILURE if failed else _ONE_SUCCESS)
        self._forget_looks(scopes)
        self.must_be_durable |= failed
        if failed:
            for scope in scopes:
                self._begin(scope)

    def _begin(self, scope: str) -> None:
        standing = self.standing(scope)
        if standing.acting is None and (acting := begin(scope, self.seen(scope), self._rules, self._now)):
            self._move(replace(standing, acting=acting))
            self._looked_at.add(scope)

    def _give_back(self, outcome: Outcome) -> None:
        for scope in starting_scopes(outcome.agent, outcome.uses):
            standing = self._known(scope)
            if standing.permit is not None and standing.permit.holder == outcome.attempt:
                # Not a move: whoever waits for it has told this end, and a new epoch would recall everybody's leases.
                self._put(replace(standing, permit=None))
                self.must_be_durable = True

    def _forget_looks(self, scopes: Iterable[str]) -> None:
        """What was worked out for these scopes holds no more; it is worked out again when somebody asks."""
        for scope in scopes:
            self._looked_at.discard(scope)
            self._thaws.pop(scope, None)

    # -- what holds

    def standing(self, scope: str) -> Standing:
        """A scope's standing as of now: what time alone has made of it is taken over."""
        standing = self._known(scope)
        if standing.acting is None or scope in self._looked_at:
            return standing
        self._looked_at.add(scope)
        current = self._as_of_now(standing, standing.acting)
        if current is not standing:
            self._move(current)
        return current

    def _as_of_now(self, standing: Standing, acting: Acting) -> Standing:
        grade = grade_now(standing.scope, self.seen(standing.scope), self._rules, self._minute)
        if grade is Grade.NORMAL:
            return replace(standing, acting=None, permit=None)
        if grade is not acting.grade:
            standing = replace(standing, acting=replace(acting, grade=grade))
        permit = standing.permit
        if permit is None:
            return standing
        if permit.deadline.passed(self._now):
            return replace(standing, permit=None)
        clamped = permit.deadline.clamped(self._now)
        return standing if clamped is permit.deadline else replace(standing, permit=replace(permit, deadline=clamped))

    def thaws_at(self, scope: str) -> datetime:
        """When a spent scope has something left again by time alone."""
        if scope not in self._thaws:
            self._thaws[scope] = thaws_at(scope, self.seen(scope), self._rules, self._now)
        return self._thaws[scope]

    # -- the one attempt of a scope that runs one at a time

    def give(self, scope: str, attempt: AttemptKey) -> None:
        """Give an attempt the place of a scope that has but one."""
        permit = Permit(holder=attempt, deadline=Deadline.after(self._rules.permit_time, now=self._now))
        self._put(replace(self.standing(scope), permit=permit))
        self.must_be_durable = True

    def renew(self, attempts: Iterable[AttemptKey]) -> None:
        """Prolong the places that these attempts hold."""
        if not self.holds_anything:
            return
        running = set(attempts)
        for scope in {*self._base.acting, *self.changed}:
            standing = self.standing(scope)
            if standing.permit is not None and standing.permit.holder in running:
                deadline = Deadline.after(self._rules.permit_time, now=self._now)
                self._put(replace(standing, permit=replace(standing.permit, deadline=deadline)))

    # -- what people do

    def forgive(self, scope: str, *, actor: str, reason: str) -> Standing:
        """Forget what a scope has counted; what was in force for it is not any more."""
        self.cleared.add(scope)
        self._tallies.pop(scope, None)
        self._move(Standing(scope=scope, forgiven=Forgiven(at=self._now, actor=actor, reason=reason)))
        return self.changed[scope]

    def act_as(self, other: Standing) -> bool:
        """Have in force what another record of the same budget has in force, where nothing is; whether it then is."""
        here = self.standing(other.scope)
        if other.acting is None or here.acting is not None:
            return False
        self._move(replace(here, acting=other.acting))
        return True

    # -- for those who show and keep it

    @property
    def rules(self) -> BudgetRules:
        """The numbers."""
        return self._rules

    @property
    def minute(self) -> int:
        """The minute of the decision."""
        return self._minute

    @property
    def tightened(self) -> tuple[str, ...]:
        """The scopes whose tasks get half their retries; takes over what this decision's ends have made of each."""
        return tuple(sorted(scope for scope in {*self._base.acting, *self.changed} if self.standing(scope).acting))

    def seen(self, scope: str) -> Seen:
        """A scope's counts with what this decision adds to them."""
        self._spread()
        base = _NOTHING if scope in self.cleared else self._base.counts.get(scope, _NOTHING)
        return Seen(base, self._tallies.get(scope, Tally()), base.kept_under(self._minute))

    def records(self, owed: BudgetsOwed) -> BudgetRecords:
        """What has to be written: what is owed, and what this decision changes."""
        self._spread()
        standings = {scope: self._base.standings[scope] for scope in owed.standings} | self.changed
        minutes = {(scope, minute) for scope, minute in owed.minutes if scope not in self.cleared}
        minutes |= {(scope, self.seen(scope).minute) for scope in self._tallies}
        return BudgetRecords(
            standings=tuple(standings.values()),
            buckets=tuple((scope, self.seen(scope).at(minute)) for scope, minute in sorted(minutes)),
            cleared=frozenset(owed.cleared | self.cleared),
            forget_up_to=self._minute - WEEK_MINUTES,
        )

    def adopt(self) -> BudgetsOwed:
        """Make this the state; return what of it is owed to the store unless it was written."""
        self._spread()
        for scope in self.cleared:
            self._base.counts.pop(scope, None)
        for standing in self.changed.values():
            self._base.put(standing)
        minutes = {(scope, self._base.add(scope, self._minute, tally)) for scope, tally in self._tallies.items()}
        return BudgetsOwed(set(self.changed), minutes, set(self.cleared))

    def _known(self, scope: str) -> Standing:
        return self.changed.get(scope) or self._base.standings.get(scope) or Standing(scope=scope)

    def _put(self, standing: Standing) -> None:
        self.changed[standing.scope] = standing
        self.holds_anything = True

    def _move(self, standing: Standing) -> None:
        self._put(standing)
        self.moves += 1
        self.must_be_durable = True

    def _add(self, scope: str, more: Tally) -> None:
        known = self._tallies.get(scope)
        self._tallies[scope] = more if known is None else Tally(known[0] + more[0], known[1] + more[1])

    def _spread(self) -> None:
        """Hand the summed successes out to their scopes."""
        if not self._well:
            return
        for whose, attempts in self._well.items():
            for scope in budget_scopes(*whose):
                self._add(scope, Tally(attempts, 0))
        self._well.clear()


class Seen:
    """Counts and what a decision adds to them, as one."""

    __slots__ = ("_added", "_base", "minute")

    def __init__(self, base: Counts, added: Tally, minute: int) -> None:
        self._base = base
        self._added = added
        self.minute = minute

    def within(self, minutes: int, now: int) -> Tally:
        """What was counted in the last `minutes` minutes, the one of `now` among them."""
        attempts, failures = self._base.within(minutes, now)
        if self.minute <= now - minutes:
            return Tally(attempts, failures)
        return Tally(attempts + self._added.attempts, failures + self._added.failures)

    def at(self, minute: int) -> Bucket:
        """What is kept under a minute."""
        bucket = self._base.at(minute)
        if minute != self.minute:
            return bucket
        return Bucket(minute, bucket.attempts + self._added.attempts, bucket.failures + self._added.failures)

    def failed_after(self, minute: int) -> Iterator[Bucket]:
        """The minutes later than one in which something failed, the oldest first."""
        for bucket in self._base.failed_after(minute):
            if bucket.minute != self.minute:
                yield bucket
        if self.minute > minute and (here := self.at(self.minute)).failures:
            yield here
