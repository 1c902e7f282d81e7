"""How a branch came from one commit to another, in git's own words."""

from pathlib import Path

import pytest

from services.coordinator.domain import merge_check
from services.coordinator.domain.merge_moves import How, Judgement, Move, judge

A, B, C, D = "abcd"
FF, MERGED = "merge topic: Fast-forward", "merge topic: Merge made by the 'ort' strategy."


def reflog(*moves: tuple[str, str]) -> list[Move]:
    """Written oldest first, as it happened; A was before."""
    return [Move(A, "commit (initial): first"), *(Move(*move) for move in moves)][::-1]


@pytest.mark.parametrize(
    ("message", "how"),
    [
        (FF, How.ARRIVED),
        (MERGED, How.ARRIVED),
        ("commit (merge): Merge branch 'topic'", How.ARRIVED),
        ("pull: Fast-forward", How.ARRIVED),
        ("pull origin main: Merge made by the 'ort' strategy.", How.ARRIVED),
        ("pull --rebase: Fast-forward", How.ARRIVED),
        ("pull --rebase (finish): refs/heads/main onto abc", How.OTHERWISE),
        ("rebase (finish): refs/heads/main onto abc", How.OTHERWISE),
        ("reset: moving to HEAD~1", How.OTHERWISE),
        ("branch: Reset to other", How.OTHERWISE),
        ("fetch origin main:main: fast-forward", How.OTHERWISE),
        ("", How.OTHERWISE),
        ("commit: say merge topic", How.NOTHING),
        ("commit (amend): better", How.NOTHING),
        ("commit (cherry-pick): that", How.NOTHING),
        ("cherry-pick: that", How.NOTHING),
        ("revert: that", How.NOTHING),
        ("am: a patch", How.NOTHING),
        ("quantum: took back topic", How.NOTHING),
        ("quantumly: entangled", How.OTHERWISE),
    ],
)
def test_one_move(message: str, how: How) -> None:
    judged = judge(reflog((B, message)), A, B)
    assert judged.how is how
    if how is not How.NOTHING:
        assert judged == Judgement(how, A, B, message)


def test_of_several_the_newest_merge_decides_then_the_newest_that_is_no_commit() -> None:
    moves = reflog((B, FF), (C, "reset: moving to x"), (D, "commit: y"))
    assert judge(moves, A, D) == Judgement(How.ARRIVED, A, B, FF)
    assert judge(moves, B, D) == Judgement(How.OTHERWISE, B, C, "reset: moving to x")
    assert judge(moves, C, D).how is How.NOTHING
    twice = reflog((B, FF), (C, MERGED))
    assert judge(twice, A, C) == Judgement(How.ARRIVED, B, C, MERGED)


def test_a_reflog_that_does_not_lead_from_one_to_the_other() -> None:
    for moves, old, new in (([], A, B), (reflog((B, FF)), C, B), (reflog((B, FF)), A, C)):
        assert judge(moves, old, new) == Judgement(How.OTHERWISE, old, new)


def test_there_and_back_counts_from_the_last_time_that_it_was_there() -> None:
    moves = reflog((B, FF), (A, "reset: moving to a"), (C, "commit: z"))
    assert judge(moves, A, C).how is How.NOTHING


def test_the_words_are_those_of_the_merge_guard() -> None:
    from merge_guard import values

    for own, theirs in (
        (merge_check.Event, values.Event),
        (merge_check.Verdict, values.Verdict),
        (merge_check.Action, values.Action),
    ):
        assert {word.name: word.value for word in own} == {word.name: word.value for word in theirs}
    assert Path(values.__file__).name == "values.py"
