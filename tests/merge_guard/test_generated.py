"""Repositories that nobody thought of: whatever is done about a merge, no byte and no commit of the user's is lost."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.merge_guard.generating import Story, begin, dirty, meet, stories
from tests.merge_guard.judging import RollBack, act, judge, prove_mergeable
from tests.merge_guard.kinds import REFUSED, ROLLED_BACK
from tests.merge_guard.snapshot import take

SHARE_MIN = 0.2


def live(story: Story, folder: Path, program: str, **options: RollBack) -> str:
    """Live through one story and demand what must hold; returns what the guard did."""
    repo = begin(story, folder / "repo", program)
    pristine = take(repo)
    hook = meet(story, repo)
    merged = take(repo)
    dirty(story, repo)
    acted = act(repo, hook, merged=merged, **options)
    judge(repo, acted, pristine)
    brought = acted.new and repo("diff", "--name-only", acted.old, acted.new)
    if acted.outcome == ROLLED_BACK and hook == "post-merge" and brought:
        prove_mergeable(repo, acted, "topic")
    return acted.outcome


def live_many(count: int, program: str, **options: RollBack) -> Counter[str]:
    """Live through so many stories, always the same ones; returns how many ended how."""
    counts: Counter[str] = Counter()

    # Shrinking would take longer than reading: a story is short.
    @settings(
        phases=[Phase.generate],
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(stories)
    def each(story: Story) -> None:
        folder = Path(tempfile.mkdtemp(prefix="story-"))
        try:
            counts[live(story, folder, program, **options)] += 1
        finally:
            shutil.rmtree(folder)

    each()
    return counts


def demand_shares(counts: Counter[str]) -> None:
    """Print the counts; a share that is too small proves nothing."""
    print(dict(counts), "of", counts.total())
    for outcome in (ROLLED_BACK, REFUSED):
        assert counts[outcome] >= SHARE_MIN * counts.total(), f"too few are {outcome}: {dict(counts)}"


@pytest.mark.timeout(300)
def test_fifty(program: str) -> None:
    counts = live_many(50, program)
    demand_shares(counts)
    assert counts.total() >= 50


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_a_thousand(program: str) -> None:
    counts = live_many(1000, program)
    demand_shares(counts)
    assert counts.total() >= 1000
