"""The error budget against chance: simulated agents that are exactly as well as they promise, and dead ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.safety.domain.attempt import AttemptKey, Outcome, OutcomeKind
from services.safety.domain.budget import BudgetRules, Grade, moment_of
from services.safety.domain.budget_book import BudgetBook, Budgets
from services.safety.domain.budget_counts import Tally

RULES = BudgetRules()
TEXTBOOK = replace(RULES, failures_min=1, probability_max=2.0)
"""The burn rates alone, without the rule of evidence."""
THOUSANDTH = replace(RULES, probability_max=1e-3)
SCOPE = "agent:a"
DAY, MONTH_DAYS, RUNS_A_DAY = 24 * 60, 30, 24
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) // 60
FALSE_PER_THOUSAND_MAX = 1.0
BREAKER_OPENS_AT = 3


def runs(chance: random.Random, days: int) -> Iterator[int]:
    """The minutes at which one agent's runs end: every hour, at some minute of it."""
    for hour in range(days * RUNS_A_DAY):
        yield START + hour * (DAY // RUNS_A_DAY) + chance.randrange(DAY // RUNS_A_DAY)


def fail(budgets: Budgets, rules: BudgetRules, minute: int, number: int) -> Grade:
    """One failed attempt through the same book as in service; what is in force after it."""
    book = BudgetBook(budgets, rules, moment_of(minute))
    book.take_in(Outcome(attempt=AttemptKey(str(number), 1), agent="a", kind=OutcomeKind.FAILURE))
    grade = book.standing(SCOPE).grade
    book.adopt()
    return grade


def false_actions(rules: BudgetRules, months: int, seed: int) -> int:
    """How often something comes into force for agents that fail exactly as often as their objective allows.

    A success only adds to the counts, so the book is asked where it could act: after a failure. What it did is
    forgiven at once, so that the next false action counts too.
    """
    chance, allowed, acted = random.Random(seed), rules.allowed(SCOPE), 0
    for _ in range(months):
        budgets = Budgets()
        for number, minute in enumerate(runs(chance, MONTH_DAYS)):
            if chance.random() >= allowed:
                budgets.add(SCOPE, minute, Tally(1, 0))
            elif fail(budgets, rules, minute, number) is not Grade.NORMAL:
                acted += 1
                budgets = Budgets()
    return acted


def failures_until_caught(seed: int, good_days: int) -> int:
    """How many runs of an agent fail from the day that it dies until something is in force for it."""
    chance, budgets, deaths = random.Random(seed), Budgets(), 0
    for number, minute in enumerate(runs(chance, good_days + 5)):
        if number < good_days * RUNS_A_DAY:
            if chance.random() < RULES.allowed(SCOPE):
                fail(budgets, RULES, minute, number)
            else:
                budgets.add(SCOPE, minute, Tally(1, 0))
            if SCOPE in budgets.acting:
                budgets = Budgets()
            continue
        deaths += 1
        if fail(budgets, RULES, minute, number) is not Grade.NORMAL:
            return deaths
    raise AssertionError("a dead agent was never caught")


def test_a_dead_agent_is_caught_within_six_runs() -> None:
    caught = [failures_until_caught(seed, good_days) for seed in range(60) for good_days in (0, 1, 7, 9)]
    print(
        f"dead agents caught after {min(caught)} to {max(caught)} failures, {sum(caught) / len(caught):.2f} on average"
    )
    assert min(caught) >= BREAKER_OPENS_AT, "the breaker holds it by then"
    assert max(caught) <= 6


def test_who_is_as_well_as_promised_is_left_alone() -> None:
    months = 400
    acted, textbook = false_actions(RULES, months, 1), false_actions(TEXTBOOK, 40, 2)
    print(f"false actions: {acted} in {months} agent-months; without the rule of evidence {textbook} in 40")
    assert acted <= 2
    assert textbook >= 40, "control: the burn rates alone page an agent that is well more than once a month"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_of_ten_thousand_agent_months_hardly_one_in_a_thousand_acts_falsely() -> None:
    months = 10_000
    acted = false_actions(RULES, months, 3)
    controls = {name: false_actions(rules, 500, 4) for name, rules in (("none", TEXTBOOK), ("P < 1e-3", THOUSANDTH))}
    print(
        f"{months:,} agent-months at the objective, {RUNS_A_DAY} runs a day: {acted} false automatic actions, "
        f"{acted * 1_000 / months:.2f} per 1,000 agent-months; in 500 agent-months with other evidence: {controls}"
    )
    assert acted * 1_000 / months <= FALSE_PER_THOUSAND_MAX
    assert controls["P < 1e-3"] >= 10 * max(1, acted * 500 // months)
    assert controls["none"] > controls["P < 1e-3"]
