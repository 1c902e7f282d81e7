"""Decides from the colours of the runs so far: which tree is tested next, or what they prove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from merge_guard.values import Colour, Verdict

RUNS = 5
"""So many runs of each tree must agree before a merge is called bad."""


class Side(StrEnum):
    """Which tree: what came, or what was there before."""

    NEW = "new"
    OLD = "old"


@dataclass(frozen=True, slots=True)
class RunNext:
    """Nothing is proved yet; this tree is tested next."""

    side: Side


@dataclass(frozen=True, slots=True)
class Decided:
    """What the runs prove, and how, as a sentence."""

    verdict: Verdict
    reason: str


def judge(new: Sequence[Colour], old: Sequence[Colour]) -> RunNext | Decided:
    """What follows from the runs of `new` and of `old` so far, each in the order in which they were made.

    Green at once is good. Anything that a run could not tell ends the check. One run of `old` comes second: what was
    red before is nobody's fault. Then `new`, where a test that fails now and then shows itself soonest, then `old`; the
    first run that disagrees with another of the same tree proves that the test is flaky.
    """
    if Colour.UNKNOWN in (*new, *old):
        return Decided(Verdict.INCONCLUSIVE, "A run of the test told nothing.")
    for name, colours in (("what came", new), ("what was there before", old)):
        if len(set(colours)) > 1:
            return Decided(Verdict.FLAKY, f"The test was red and green on the same tree, on {name}.")
    if Colour.GREEN in new:
        return Decided(Verdict.GOOD, "The test is green on what came.")
    if Colour.RED in old:
        return Decided(Verdict.PRE_EXISTING, "The test is red on what was there before, too.")
    if not new:
        return RunNext(Side.NEW)
    if not old:
        return RunNext(Side.OLD)
    if len(new) < RUNS:
        return RunNext(Side.NEW)
    if len(old) < RUNS:
        return RunNext(Side.OLD)
    return Decided(
        Verdict.BAD, f"The test was red {RUNS} of {RUNS} times on what came, and green {RUNS} of {RUNS} before."
    )


def agreed(colours: Sequence[Colour]) -> Colour | None:
    """The colour of one tree that is tested by itself: what `RUNS` runs agree on; None: it must be run again.

    UNKNOWN when a run told nothing or two disagree.
    """
    if Colour.UNKNOWN in colours or len(set(colours)) > 1:
        return Colour.UNKNOWN
    return colours[0] if len(colours) >= RUNS else None
