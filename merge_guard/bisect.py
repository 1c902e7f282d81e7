"""Finds the commit that made a merge bad: the first red one of those that came, each judged by enough runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundation.errors import QuantumError
from merge_guard.checking import Bench, Say, judged
from merge_guard.git import Git
from merge_guard.values import Arrival, Colour, Culprit, Finding, Kind, Run


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found; without a culprit, why, as a sentence."""

    culprit: Culprit | None
    among: int
    """How many commits it was looked for among."""
    why: str = ""


def what_came(git: Git, arrival: Arrival) -> Sequence[str]:
    """The commits to look through, oldest first; the last one stands for all that came.

    By first parents: of a fast-forward its own commits, of a true merge those of the branch that was merged. An octopus
    is one commit: its merge.
    """
    tip = arrival.new
    if arrival.kind is Kind.MERGE:
        parents = git.text("rev-list", "--parents", "--max-count=1", arrival.new).split()[1:]
        if len(parents) != 2:
            return [arrival.new]
        tip = parents[1]
    return git.text("rev-list", "--first-parent", "--reverse", f"{arrival.old}..{tip}").split()


def find_culprit(bench: Bench, arrival: Arrival, finding: Finding, say: Say) -> Search:
    """Name the first bad commit of a merge that is proved bad.

    Halves what is between `old`, which is green, and `new`, which is red. A commit of a merged branch is tested as the
    merge with `old` that it would have been. A point that tells nothing, that is flaky, or that does not merge ends the
    search.
    """
    git = bench.scratch.git
    commits = what_came(git, arrival)
    good, bad = -1, len(commits) - 1
    runs = tuple(run for run in finding.runs if run.commit == arrival.new)
    while bad - good > 1:
        middle = (good + bad) // 2
        say(f"Looking for the commit that did it: {bad - good} of {len(commits)} are left")
        try:
            colour, seen = judged(bench, _as_merged(bench, arrival, commits[middle]))
        except QuantumError as error:
            return Search(None, len(commits), f"The search ended at {commits[middle][:12]}: {error.message}")
        if colour is Colour.UNKNOWN:
            return Search(None, len(commits), f"The search ended at {commits[middle][:12]}: {_told_nothing(seen)}")
        if colour is Colour.RED:
            bad, runs = middle, seen
        else:
            good = middle
    subject, author = git.text("log", "-1", "--format=%s%x00%an", commits[bad], "--").split("\0")
    return Search(Culprit(commit=commits[bad], subject=subject, author=author, runs=runs), len(commits))


def _as_merged(bench: Bench, arrival: Arrival, commit: str) -> str:
    if arrival.kind is Kind.FAST_FORWARD:
        return commit
    return bench.scratch.merge(arrival.old, commit, f"Merge {commit[:12]} to see whether it is the one")


def _told_nothing(runs: Sequence[Run]) -> str:
    return runs[-1].why or "the test was red and green there."
