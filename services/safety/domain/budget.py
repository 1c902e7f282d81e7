"""The error budget of one scope: how much may fail in seven days, how fast that is used up, and what follows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from services.safety.domain.attempt import FLEET, scope_in_words
from services.safety.domain.breaker import Permit
from services.safety.domain.budget_counts import WEEK_MINUTES, Bucket, Tally

_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = 9
"""Shares are compared to so many digits, so that exactly half left is half left whatever a float makes of 1 − 0.95."""


class Grade(StrEnum):
    """What is in force for a scope, the mildest first."""

    NORMAL = "normal"
    HALVED = "retries_halved"
    SINGLE = "one_at_a_time"
    SPENT = "spent"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPair:
    """Two windows over which a budget burns faster than `burn`: the long one is proof, the short one that it lasts."""

    burn: float
    long_minutes: int
    short_minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRules:
    """The numbers of the error budget. An SLO is the share of counted attempts that are to succeed."""

    slo_agent: float = 0.95
    slo_class: float = 0.97
    slo_project: float = 0.97
    slo_fleet: float = 0.99
    pairs: tuple[WindowPair, ...] = (
        WindowPair(burn=13.44, long_minutes=60, short_minutes=5),
        WindowPair(burn=3.5, long_minutes=6 * 60, short_minutes=30),
        WindowPair(burn=1.4, long_minutes=24 * 60, short_minutes=2 * 60),
        WindowPair(burn=0.98, long_minutes=3 * 24 * 60, short_minutes=6 * 60),
    )
    failures_min: int = 3
    probability_max: float = 1e-6
    permit_time: timedelta = timedelta(seconds=35)
    """Lease plus 15 s: the one attempt of a scope that runs one at a time, unless its lease is renewed."""

    def objective(self, scope: str) -> float:
        """The share of a scope's attempts that is to succeed."""
        if scope == FLEET:
            return self.slo_fleet
        kind = scope.partition(":")[0]
        return {"agent": self.slo_agent, "project": self.slo_project}.get(kind, self.slo_class)

    def allowed(self, scope: str) -> float:
        """The share of a scope's attempts that may fail."""
        return round(1 - self.objective(scope), _DIGITS)

    @property
    def windows(self) -> tuple[int, ...]:
        """Every window over which a burn rate is taken, in minutes, the shortest first."""
        return tuple(sorted({minutes for pair in self.pairs for minutes in (pair.long_minutes, pair.short_minutes)}))


DEFAULT_BUDGET_RULES = BudgetRules()


class Windows(Protocol):
    """What was counted in a scope, seen through windows of whole minutes that end now."""

    def within(self, minutes: int, now: int) -> Tally:
        """What was counted in the last `minutes` minutes, the one of `now` among them."""
        ...

    def failed_after(self, minute: int) -> Iterator[Bucket]:
        """The minutes later than one in which something failed, the oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """A budget that is acted on: since when, by what evidence, and what is in force."""

    since: datetime
    evidence: str
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgiven:
    """The last time that a person let a scope begin anew."""

    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of a scope beside its counts. `permit`: the one attempt that it may have, where it has but one."""

    scope: str
    acting: Acting | None = None
    permit: Permit | None = None
    forgiven: Forgiven | None = None

    @property
    def grade(self) -> Grade:
        """What is in force."""
        return self.acting.grade if self.acting else Grade.NORMAL


def minute_of(now: datetime) -> int:
    """Whole minutes since 1970."""
    return (now - _EPOCH) // _MINUTE


def moment_of(minute: int) -> datetime:
    """The beginning of a minute."""
    return _EPOCH + minute * _MINUTE


def left(tally: Tally, allowed: float) -> float:
    """The share of the budget that is left, 1 − failures ÷ (allowed × attempts); below 0 when more than all is spent.

    Nothing counted leaves everything.
    """
    return 1 - tally.failures / (allowed * tally.attempts) if tally.attempts else 1.0


def burn(tally: Tally, allowed: float) -> float | None:
    """How many times too fast a window fails, its error rate ÷ allowed; None when nothing ended in it."""
    return tally.failures / tally.attempts / allowed if tally.attempts else None


def grade_of(left_share: float) -> Grade:
    """What the share that is left calls for."""
    share = round(left_share, _DIGITS)
    if share > 0.5:
        return Grade.NORMAL
    if share >= 0.25:
        return Grade.HALVED
    return Grade.SINGLE if share > 0 else Grade.SPENT


@lru_cache(maxsize=4096)
def chance_of(failures: int, attempts: int, allowed: float) -> float:
    """How probable so many failures or more are in so many attempts of which each may fail with `allowed`.

    The upper tail of the binomial distribution: its first term by logarithms of the gamma function, the rest by their
    ratios until they add nothing.
    """
    if failures <= 0:
        return 1.0
    if failures > attempts:
        return 0.0
    if failures <= attempts * allowed:  # the larger part: the sum of the others is the shorter one
        return 1 - _sum(failures - 1, attempts, allowed, step=-1)
    return _sum(failures, attempts, allowed, step=1)


def is_rarer(failures: int, attempts: int, allowed: float, limit: float) -> bool:
    """Whether `chance_of` is below a limit; for more failures than allowed its first term mostly tells.

    The terms shrink at least by the first two's ratio, so all of them are at most a geometric series.
    """
    if failures <= attempts * allowed or failures >= attempts:
        return chance_of(failures, attempts, allowed) < limit
    first = math.exp(_log_term(failures, attempts, allowed))
    ratio = (attempts - failures) / (failures + 1) * allowed / (1 - allowed)
    if first >= limit:
        return False
    return first / (1 - ratio) < limit or chance_of(failures, attempts, allowed) < limit


def _log_term(failures: int, attempts: int, allowed: float) -> float:
    """The logarithm of the chance of exactly so many failures."""
    return (
        math.lgamma(attempts + 1)
        - math.lgamma(failures + 1)
        - math.lgamma(attempts - failures + 1)
        + failures * math.log(allowed)
        + (attempts - failures) * math.log1p(-allowed)
    )


def _sum(first: int, attempts: int, allowed: float, *, step: int) -> float:
    """The terms from `first` on, upwards or downwards, where they shrink."""
    odds = allowed / (1 - allowed)
    term = total = math.exp(_log_term(first, attempts, allowed))
    at = first
    while term > total * 1e-17 and 0 <= at + step <= attempts:
        term *= (attempts - at) / (at + 1) * odds if step > 0 else at / (attempts - at + 1) / odds
        total += term
        at += step
    return total


def is_over(pair: WindowPair, counts: Windows, rules: BudgetRules, allowed: float, now: int) -> bool:
    """Whether both windows of a pair burn too fast, and the long one cannot be chance."""
    short = burn(counts.within(pair.short_minutes, now), allowed)
    return short is not None and short > pair.burn and has_evidence(pair, counts, rules, allowed, now)


def has_evidence(pair: WindowPair, counts: Windows, rules: BudgetRules, allowed: float, now: int) -> bool:
    """Whether the long window burns too fast, by enough failures and too improbably for an agent that is well."""
    tally = counts.within(pair.long_minutes, now)
    burning = burn(tally, allowed)
    return (
        burning is not None
        and burning > pair.burn
        and tally.failures >= rules.failures_min
        and is_rarer(tally.failures, tally.attempts, allowed, rules.probability_max)
    )


def begin(scope: str, counts: Windows, rules: BudgetRules, now: datetime) -> Acting | None:
    """What comes into force for a budget that nothing was in force for; None: still nothing.

    Something does when a pair is over and no more than half is left. It is asked after each failure: an action follows
    something that happened.
    """
    allowed, minute = rules.allowed(scope), minute_of(now)
    grade = grade_of(left(counts.within(WEEK_MINUTES, minute), allowed))
    if grade is not Grade.NORMAL:
        for pair in rules.pairs:
            if is_over(pair, counts, rules, allowed, minute):
                return Acting(since=now, evidence=_evidence(pair, counts, allowed, minute), grade=grade)
    return None


def grade_now(scope: str, counts: Windows, rules: BudgetRules, minute: int) -> Grade:
    """What stays in force at a minute for a budget that something is in force for.

    A spent one is until something is left again. The others are as long as one of the long windows has its evidence:
    a limit must not outlive its reason.
    """
    allowed = rules.allowed(scope)
    grade = grade_of(left(counts.within(WEEK_MINUTES, minute), allowed))
    if grade is Grade.SPENT or any(has_evidence(pair, counts, rules, allowed, minute) for pair in rules.pairs):
        return grade
    return Grade.NORMAL


def thaws_at(scope: str, counts: Windows, rules: BudgetRules, now: datetime) -> datetime:
    """When a spent budget has something left again by time alone: as its failures fall out of the seven days."""
    allowed, minute = rules.allowed(scope), minute_of(now)
    for bucket in counts.failed_after(minute - WEEK_MINUTES):
        when = max(bucket.minute + WEEK_MINUTES, minute)
        if grade_of(left(counts.within(WEEK_MINUTES, when), allowed)) is not Grade.SPENT:
            return moment_of(when)
    return now


def spent_sentence(tally: Tally, allowed: float) -> str:
    """Why a budget is spent, in figures."""
    return f"{tally.failures} of {tally.attempts} counted attempts failed in 7 days, {100 * allowed:.3g} % of them may"


def _evidence(pair: WindowPair, counts: Windows, allowed: float, minute: int) -> str:
    long = counts.within(pair.long_minutes, minute)
    chance = chance_of(long.failures, long.attempts, allowed)
    times = (burn(long, allowed) or 0.0, pair.burn)
    return (
        f"{long.failures} of {long.attempts} attempts failed in {_window(pair.long_minutes)}: "
        f"{times[0]:.3g} times what its objective allows (limit {times[1]:g}), by chance with P = {chance:.1g}"
    )


def _window(minutes: int) -> str:
    for length, unit in ((24 * 60, "d"), (60, "h")):
        if minutes % length == 0:
            return f"{minutes // length} {unit}"
    return f"{minutes} min"


@lru_cache(maxsize=4096)
def budget_scopes(agent: str, project: str, uses: tuple[str, ...]) -> tuple[str, ...]:
    """Every scope whose budget counts the end of this work, the widest first.

    A class is what several agents use: "cloud:openai". See docs/decisions/0014.
    """
    return (FLEET, *((f"project:{project}",) if project else ()), *dict.fromkeys(uses), f"agent:{agent}")


@lru_cache(maxsize=4096)
def starting_scopes(agent: str, uses: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes whose budget may hold this work back: its classes and itself."""
    return (*dict.fromkeys(uses), f"agent:{agent}")


def is_agent(scope: str) -> bool:
    """Whether a scope is one agent: only an agent is frozen."""
    return scope.startswith("agent:")


def in_words(standing: Standing) -> str:
    """What is in force for a scope, for people."""
    if standing.scope == FLEET or standing.scope.startswith("project:"):
        held = {Grade.SINGLE: "its merges need approval", Grade.SPENT: "it is spent, its merges are frozen"}
    elif is_agent(standing.scope):
        held = {Grade.SINGLE: "it runs one task at a time", Grade.SPENT: "it is spent, the agent is frozen"}
    else:
        held = {Grade.SINGLE: "it runs one task at a time", Grade.SPENT: "it is spent, one task runs at a time"}
    return held.get(standing.grade, "retries are halved" if standing.acting else "nothing is in force")


class MergeStanding(StrEnum):
    """What the budgets say of a merge."""

    FREE = "free"
    APPROVAL = "approval"
    FROZEN = "frozen"


def merge_standing(standings: Sequence[Standing]) -> tuple[MergeStanding, str]:
    """What the project's and the fleet's budgets say of a merge, with the reason of the stricter one."""
    worst = max(standings, key=lambda one: list(Grade).index(one.grade), default=None)
    if worst is None or worst.acting is None or worst.grade in (Grade.NORMAL, Grade.HALVED):
        return MergeStanding.FREE, ""
    whose, evidence = scope_in_words(worst.scope), worst.acting.evidence
    if worst.grade is Grade.SPENT:
        return MergeStanding.FROZEN, f"merges are frozen: the error budget of {whose} is spent; {evidence}"
    return MergeStanding.APPROVAL, f"a merge needs approval: less than 25 % of the error budget of {whose} is left"
