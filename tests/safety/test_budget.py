"""The error budget equals a brute-force reference; its grades, windows and clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import comb
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.safety.domain.attempt import FLEET, AttemptKey, Outcome, OutcomeKind
from services.safety.domain.budget import (
    BudgetRules,
    Grade,
    budget_scopes,
    burn,
    chance_of,
    grade_of,
    is_rarer,
    left,
    minute_of,
)
from services.safety.domain.budget_book import BudgetBook, BudgetRecords, Budgets, BudgetsOwed
from services.safety.domain.budget_counts import WEEK_MINUTES, Bucket, Counts, Tally

RULES = BudgetRules()
START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SUCCESS, FAILURE, NEUTRAL = OutcomeKind.SUCCESS, OutcomeKind.FAILURE, OutcomeKind.NEUTRAL
TOLERANCE = 1e-9


def outcome(number: int, kind: OutcomeKind, agent: str = "a", project: str = "", uses: tuple[str, ...] = ()) -> Outcome:
    return Outcome(attempt=AttemptKey(f"t{number}", 1), agent=agent, project=project, uses=uses, kind=kind)


# -- the reference: every end ever told, looked through again for each question, in exact fractions


@dataclass
class Reference:
    """The rules of SEMANTICS §5, written down without any thought of speed."""

    ends: list[tuple[int, str, int, int]] = field(default_factory=list)
    """Minute, scope, attempts, failures."""
    grades: dict[str, Grade] = field(default_factory=dict)

    def allowed(self, scope: str) -> Fraction:
        kind = scope.partition(":")[0]
        return 1 - {"fleet": Fraction("0.99"), "agent": Fraction("0.95")}.get(kind, Fraction("0.97"))

    def tally(self, scope: str, minutes: int, now: int) -> tuple[int, int]:
        seen = [end for end in self.ends if end[1] == scope and now - minutes < end[0] <= now]
        return sum(end[2] for end in seen), sum(end[3] for end in seen)

    def left(self, scope: str, now: int) -> Fraction:
        attempts, failures = self.tally(scope, WEEK_MINUTES, now)
        return 1 - failures / (self.allowed(scope) * attempts) if attempts else Fraction(1)

    def burn(self, scope: str, minutes: int, now: int) -> Fraction | None:
        attempts, failures = self.tally(scope, minutes, now)
        return Fraction(failures, attempts) / self.allowed(scope) if attempts else None

    def chance(self, scope: str, minutes: int, now: int) -> Fraction:
        attempts, failures = self.tally(scope, minutes, now)
        p = self.allowed(scope)
        return 1 - sum((comb(attempts, n) * p**n * (1 - p) ** (attempts - n) for n in range(failures)), Fraction(0))

    def evidence(self, scope: str, long: int, limit: Fraction, now: int) -> bool:
        burning = self.burn(scope, long, now)
        enough = self.tally(scope, long, now)[1] >= 3
        return burning is not None and burning > limit and enough and self.chance(scope, long, now) < Fraction(1, 10**6)

    def called_for(self, scope: str, now: int) -> Grade:
        share = self.left(scope, now)
        if share > Fraction(1, 2):
            return Grade.NORMAL
        return Grade.HALVED if share >= Fraction(1, 4) else Grade.SINGLE if share > 0 else Grade.SPENT

    def look(self, scope: str, now: int, *, failed: bool) -> Grade:
        """What is in force after what has happened; `failed`: a failure was just counted."""
        pairs = [
            (60, 5, Fraction("13.44")),
            (360, 30, Fraction("3.5")),
            (1440, 120, Fraction("1.4")),
            (4320, 360, Fraction("0.98")),
        ]
        before, grade = self.grades.get(scope, Grade.NORMAL), self.called_for(scope, now)
        proved = [pair for pair in pairs if self.evidence(scope, pair[0], pair[2], now)]
        if before is not Grade.NORMAL:
            after = grade if grade is Grade.SPENT or proved else Grade.NORMAL
            self.grades[scope] = before = after
        if before is Grade.NORMAL and failed:
            over = [pair for pair in proved if (self.burn(scope, pair[1], now) or 0) > pair[2]]
            self.grades[scope] = grade if over else Grade.NORMAL
        return self.grades.get(scope, Grade.NORMAL)


Event = tuple[int, OutcomeKind, int, str, str, tuple[str, ...], bool]
ANY = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 3, 17, 58, 60, 200, 361, 1440, 3000, WEEK_MINUTES]),
        st.sampled_from([SUCCESS, FAILURE, FAILURE, NEUTRAL]),
        st.sampled_from([1, 10, 80, 300]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["", "p"]),
        st.sampled_from([(), ("cloud:x",)]),
        st.booleans(),
    ),
    max_size=40,
)


def histories(good: int, bad: int, rest: Sequence[Event]) -> list[Event]:
    """A good week, a bad hour, and then anything: what is in force lies between nothing and all for a while."""
    week: list[Event] = [(0, SUCCESS, good, "a", "p", ("cloud:x",), False)] if good else []
    hour: list[Event] = [
        (361 if number == 0 else 2, FAILURE, 1, "a", "p", ("cloud:x",), False) for number in range(bad)
    ]
    return [*week, *hour, *rest]


EVENTS = st.builds(histories, st.sampled_from([0, 20, 100, 168, 300]), st.integers(0, 14), ANY)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_it_equals_a_brute_force_reference(events: Sequence[Event]) -> None:
    """Also when it is written down and loaded again after any of the ends (the last value of each event)."""
    budgets, reference, now = Budgets(), Reference(), START
    kept: dict[tuple[int, str], Bucket] = {}
    for number, (gap, kind, many, agent, project, uses, reload) in enumerate(events):
        now += gap * MINUTE
        minute, scopes = minute_of(now), budget_scopes(agent, project, uses)
        book = BudgetBook(budgets, RULES, now)
        times = tell(book, number, kind, many, agent, project, uses)
        if kind is not NEUTRAL:
            failures = 1 if kind is FAILURE else 0
            reference.ends += [(minute, scope, times, failures) for scope in scopes]
        for scope in scopes:
            assert book.standing(scope).grade is reference.look(scope, minute, failed=kind is FAILURE)
            check_figures(book, reference, scope, minute)
        records = book.records(BudgetsOwed())
        kept |= {(bucket.minute, scope): bucket for scope, bucket in records.buckets}
        book.adopt()
        if reload:
            buckets = tuple((scope, kept[minute, scope]) for minute, scope in sorted(kept))
            budgets = Budgets.of(BudgetRecords(buckets=buckets, standings=tuple(budgets.standings.values())))


def tell(book: BudgetBook, number: int, kind: OutcomeKind, many: int, *whose: Any) -> int:
    """Successes come in crowds, or no history ever got into the grades between; returns how many were told."""
    times = many if kind is SUCCESS else 1
    for one in range(times):
        book.take_in(outcome(number * 1_000 + one, kind, *whose))
    return times


def check_figures(book: BudgetBook, reference: Reference, scope: str, minute: int) -> None:
    seen, allowed = book.seen(scope), RULES.allowed(scope)
    assert left(seen.within(WEEK_MINUTES, minute), allowed) == pytest.approx(
        float(reference.left(scope, minute)), abs=TOLERANCE
    )
    for minutes in RULES.windows:
        tally = seen.within(minutes, minute)
        assert tally == reference.tally(scope, minutes, minute)
        wanted, got = reference.burn(scope, minutes, minute), burn(tally, allowed)
        assert (got is None) == (wanted is None)
        if wanted is not None and got is not None:
            assert got == pytest.approx(float(wanted), abs=TOLERANCE)
        chance = chance_of(tally.failures, tally.attempts, allowed)
        assert chance == pytest.approx(float(reference.chance(scope, minutes, minute)), abs=TOLERANCE, rel=TOLERANCE)


def test_every_grade_was_among_the_generated_histories() -> None:
    """Control: histories like those above reach what they are to prove."""
    seen: Counter[Grade] = Counter()

    def watch(events: Sequence[Event]) -> None:
        budgets, now = Budgets(), START
        for number, (gap, kind, many, agent, project, uses, _) in enumerate(events):
            now += gap * MINUTE
            book = BudgetBook(budgets, RULES, now)
            tell(book, number, kind, many, agent, project, uses)
            seen.update(book.standing(scope).grade for scope in budget_scopes(agent, project, uses))
            book.adopt()

    settings(max_examples=200, deadline=None, database=None, derandomize=True)(given(EVENTS)(watch))()
    print(dict(seen))
    assert seen.keys() == set(Grade)


@settings(max_examples=500, deadline=None)
@given(st.integers(1, 100_000), st.floats(0, 1), st.sampled_from([0.05, 0.03, 0.01]), st.sampled_from([1e-6, 1e-3]))
def test_the_short_way_to_the_rule_of_evidence_agrees_with_the_long_one(
    attempts: int, share: float, allowed: float, limit: float
) -> None:
    """Also close to the limit, where a share of the failures squared puts many of the cases."""
    failures = min(attempts, int(attempts * (allowed + share**4)))
    assert is_rarer(failures, attempts, allowed, limit) == (chance_of(failures, attempts, allowed) < limit)


@pytest.mark.parametrize(
    ("share", "grade"),
    [
        (1.0, Grade.NORMAL),
        (0.51, Grade.NORMAL),
        (0.5, Grade.HALVED),
        (0.25, Grade.HALVED),
        (0.24, Grade.SINGLE),
        (0.01, Grade.SINGLE),
        (0.0, Grade.SPENT),
        (-3.0, Grade.SPENT),
    ],
)
def test_what_is_left_calls_for_a_grade(share: float, grade: Grade) -> None:
    assert grade_of(share) is grade


def test_exactly_the_allowed_failures_spend_the_budget() -> None:
    """5 of 100 at 95 %, although 1 − 0.95 is a little more than 0.05 for a computer."""
    assert grade_of(left(Tally(100, 5), RULES.allowed("agent:a"))) is Grade.SPENT
    assert grade_of(left(Tally(100, 4), RULES.allowed("agent:a"))) is Grade.SINGLE
    assert grade_of(left(Tally(100, 1), RULES.allowed(FLEET))) is Grade.SPENT


def test_a_window_ends_to_the_minute() -> None:
    counts = Counts()
    counts.add(1_000, Tally(3, 1))
    assert counts.within(60, 1_059) == Tally(3, 1)
    assert counts.within(60, 1_060) == Tally()


def test_what_no_window_reaches_any_more_is_forgotten() -> None:
    counts = Counts()
    for minute in range(0, 30 * 1440, 7):
        counts.add(minute, Tally(1, 0))
    assert counts.within(30 * 1440, 30 * 1440).attempts < 9 * 1440 / 7
    assert counts.within(WEEK_MINUTES, 30 * 1440).attempts == pytest.approx(WEEK_MINUTES / 7, abs=1)


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    counts = Counts()
    counts.add(5_000, Tally(1, 1))
    assert counts.add(100, Tally(1, 1)) == 5_000
    assert counts.within(5, 100) == Tally(2, 2)
    assert counts.within(5, 5_000) == Tally(2, 2)
    assert counts.at(5_000).failures == 2


def dead(budgets: Budgets, failures: int, *, since: datetime = START, every: timedelta = MINUTE) -> datetime:
    """An agent that fails so often; the moment after the last one."""
    for number in range(failures):
        since += every
        book = BudgetBook(budgets, RULES, since)
        book.take_in(outcome(number, FAILURE))
        book.adopt()
    return since


def test_four_failures_of_a_new_agent_prove_nothing_and_five_freeze_it() -> None:
    budgets = Budgets()
    now = dead(budgets, 4)
    assert BudgetBook(budgets, RULES, now).standing("agent:a").grade is Grade.NORMAL
    now = dead(budgets, 1, since=now)
    standing = BudgetBook(budgets, RULES, now).standing("agent:a")
    assert standing.grade is Grade.SPENT
    assert standing.acting is not None and standing.acting.evidence == (
        "5 of 5 attempts failed in 1 h: 20 times what its objective allows (limit 13.44), by chance with P = 3e-07"
    )


def test_a_frozen_agent_thaws_when_it_was_said_to_and_not_a_minute_earlier() -> None:
    budgets = Budgets()
    now = dead(budgets, 6)
    thaws = BudgetBook(budgets, RULES, now).thaws_at("agent:a")
    assert thaws == START + 6 * MINUTE + timedelta(days=7)
    assert BudgetBook(budgets, RULES, thaws - MINUTE).standing("agent:a").grade is Grade.SPENT
    assert BudgetBook(budgets, RULES, thaws).standing("agent:a").grade is Grade.NORMAL


def test_a_limit_does_not_outlive_its_reason() -> None:
    """Retries are halved after a burst in a good week, until the evidence has left the windows that had it."""
    budgets = Budgets()
    for hour in range(7 * 24):
        budgets.add("agent:a", minute_of(START + timedelta(hours=hour)), Tally(1, 0))
    now = dead(budgets, 6, since=START + timedelta(days=7))
    assert BudgetBook(budgets, RULES, now).standing("agent:a").grade is Grade.HALVED
    later = now + timedelta(hours=5)
    assert BudgetBook(budgets, RULES, later).standing("agent:a").grade is Grade.HALVED
    assert BudgetBook(budgets, RULES, now + timedelta(hours=7)).standing("agent:a").grade is Grade.NORMAL
