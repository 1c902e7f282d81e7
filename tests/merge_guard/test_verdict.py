"""verdict: every sequence of colours that the rule can meet, and how seldom chance looks like a bad merge."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest

from merge_guard.values import Colour, Verdict
from merge_guard.verdict import RUNS, Decided, RunNext, Side, agreed, judge

GREEN, RED, UNKNOWN = Colour.GREEN, Colour.RED, Colour.UNKNOWN
Judge = Callable[[Sequence[Colour], Sequence[Colour]], RunNext | Decided]


def one_red_is_enough(new: Sequence[Colour], old: Sequence[Colour]) -> RunNext | Decided:
    """The control: the rule of the hook that this replaces."""
    if not new:
        return RunNext(Side.NEW)
    return Decided(Verdict.GOOD if new[0] is GREEN else Verdict.BAD, "")


def played(colour_of: Callable[[Side], Colour], rule: Judge = judge) -> tuple[Verdict, list[Colour], list[Colour]]:
    """A whole check; `colour_of` says what the next run of a side shows."""
    runs: dict[Side, list[Colour]] = {Side.NEW: [], Side.OLD: []}
    while isinstance(step := rule(runs[Side.NEW], runs[Side.OLD]), RunNext):
        runs[step.side].append(colour_of(step.side))
        assert len(runs[Side.NEW]) <= RUNS and len(runs[Side.OLD]) <= RUNS
    return step.verdict, runs[Side.NEW], runs[Side.OLD]


def every_check(rule: Judge = judge) -> Counter[Verdict]:
    """Every order of colours that a check can meet, each looked at by the words of the rule."""
    counted: Counter[Verdict] = Counter()
    open_paths: list[tuple[tuple[Colour, ...], tuple[Colour, ...]]] = [((), ())]
    while open_paths:
        new, old = open_paths.pop()
        step = rule(new, old)
        if isinstance(step, RunNext):
            for colour in Colour:
                open_paths.append(((*new, colour), old) if step.side is Side.NEW else (new, (*old, colour)))
            continue
        counted[step.verdict] += 1
        assert (step.verdict is Verdict.BAD) == (new == (RED,) * 5 and old == (GREEN,) * 5), (new, old)
        assert (step.verdict is Verdict.INCONCLUSIVE) == (UNKNOWN in (*new, *old)), (new, old)
        if step.verdict is Verdict.GOOD:
            assert (new, old) == ((GREEN,), ())
        if step.verdict is Verdict.PRE_EXISTING:
            assert set(old) == {RED} and set(new) == {RED}
        if step.verdict is Verdict.FLAKY:
            assert {GREEN, RED} in (set(new), set(old))
    return counted


def test_every_order_of_colours() -> None:
    counted = every_check()
    print(dict(counted))
    # 1 green at once; old red; 4 later runs of new green, 4 of old red; any of the 10 unknown; one way to be bad.
    assert counted == {
        Verdict.GOOD: 1,
        Verdict.PRE_EXISTING: 1,
        Verdict.FLAKY: 8,
        Verdict.INCONCLUSIVE: 10,
        Verdict.BAD: 1,
    }


def test_control_the_proof_finds_a_hasty_rule() -> None:
    with pytest.raises(AssertionError):
        every_check(one_red_is_enough)


def test_no_sequence_is_left_open_beyond_five_runs_each() -> None:
    for new, old in itertools.product(itertools.product(Colour, repeat=5), itertools.product((GREEN, RED), repeat=5)):
        assert isinstance(judge(new, old), Decided)


def exactly(fails: Fraction, new: tuple[Colour, ...] = (), old: tuple[Colour, ...] = ()) -> dict[Verdict, Fraction]:
    """The chance of each verdict for a test that fails by chance, by the rule itself."""
    step = judge(new, old)
    if isinstance(step, Decided):
        return {step.verdict: Fraction(1)}
    total: dict[Verdict, Fraction] = {}
    for colour, chance in ((RED, fails), (GREEN, 1 - fails)):
        grown = ((*new, colour), old) if step.side is Side.NEW else (new, (*old, colour))
        for verdict, part in exactly(fails, *grown).items():
            total[verdict] = total.get(verdict, Fraction(0)) + chance * part
    return total


def test_how_often_chance_looks_like_a_bad_merge() -> None:
    third = exactly(Fraction(1, 3))
    print({verdict.value: f"{float(chance):.4%}" for verdict, chance in third.items()})
    assert third[Verdict.BAD] == Fraction(1, 3) ** 5 * Fraction(2, 3) ** 5  # 0.054 %
    worst = max(float(exactly(Fraction(n, 100))[Verdict.BAD]) for n in range(1, 100))
    assert worst == pytest.approx(0.25**5)  # at one half: 1 in 1,024
    assert sum(third.values()) == 1
    # What undoes a merge is a `bad` before the first `flaky` in 30 days, however many merges there are.
    undone = third[Verdict.BAD] / (third[Verdict.BAD] + third[Verdict.FLAKY])
    in_hundred = 1 - (1 - float(third[Verdict.BAD])) ** 100
    print(f"undone in 30 days: {float(undone):.3%} of such tests; without memory in 100 checks: {in_hundred:.1%}")
    assert float(undone) < 0.0025


def test_seeded_checks_of_a_test_that_fails_one_in_three() -> None:
    chance = random.Random(20261128)
    told = Counter(played(lambda _: RED if chance.random() < 1 / 3 else GREEN)[0] for _ in range(100_000))
    print({verdict.value: count for verdict, count in told.items()})
    expected = {verdict: float(part) * 100_000 for verdict, part in exactly(Fraction(1, 3)).items()}
    for verdict, count in expected.items():
        assert abs(told[verdict] - count) < 5 * max(count, 1) ** 0.5 + 1, (verdict, told[verdict], count)


@pytest.mark.parametrize(
    ("colours", "colour"),
    [
        ((), None),
        ((RED,) * 4, None),
        ((RED,) * 5, RED),
        ((GREEN,) * 5, GREEN),
        ((GREEN, RED), UNKNOWN),
        ((GREEN, UNKNOWN), UNKNOWN),
    ],
)
def test_a_point_of_a_bisection(colours: tuple[Colour, ...], colour: Colour | None) -> None:
    assert agreed(colours) is colour
