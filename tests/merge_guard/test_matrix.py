"""Every way to merge with every state of the user's work: taken back, refused or left alone, and nothing is lost."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

from tests.merge_guard.building import Repo
from tests.merge_guard.judging import act, inside_hook, judge, prove_mergeable
from tests.merge_guard.kinds import DIRTS, MERGES, NOTHING, REFUSED, ROLLED_BACK
from tests.merge_guard.snapshot import take

# Where a merge has removed nothing, what would be a clash elsewhere is an edit in a merged file: refused as well.
TABLE = [(merge, dirt, DIRTS[dirt].outcome if MERGES[merge].comes else NOTHING) for merge in MERGES for dirt in DIRTS]
# It stops with a conflict: the index is not the user's to dirty in every way.
TABLE = [row for row in TABLE if row[0] != "conflict" or row[1] in ("clean", "edit elsewhere", "untracked clash")]


def prepare(base: Repo, merge: str) -> None:
    """Give main the commit of its own that the way of merging needs."""
    if MERGES[merge].onward:
        base.commit("Onward", {"README.md": "Ours\n"} if MERGES[merge].brings == "clash" else {"onward.txt": "on\n"})


def rows(table: list[tuple[str, str, str]], ordinary: tuple[str, ...]) -> list[ParameterSet]:
    """The table as parameters; of what is not in `ordinary`, every row but each fifth belongs to the long ring."""
    return [
        pytest.param(
            *row, id=f"{row[0]} × {row[1]}", marks=[] if row[1] in ordinary or n % 5 == 0 else [pytest.mark.long]
        )
        for n, row in enumerate(table)
    ]


@pytest.mark.parametrize(("merge", "dirt", "expected"), rows(TABLE, ("edit in a merged file",)))
def test_after_the_merge(base: Repo, merge: str, dirt: str, expected: str) -> None:
    prepare(base, merge)
    pristine = take(base)
    MERGES[merge].run(base)
    if merge == "autostash" and dirt == "clean":
        assert (base.top / "docs/guide.md").read_text() == "Guide, with an edit of the user's\n"
    merged = take(base)
    DIRTS[dirt].make(base)
    acted = act(base, MERGES[merge].hook, merged=merged)
    assert acted.outcome == expected, acted.sentence
    judge(base, acted, pristine)
    if expected == ROLLED_BACK:
        prove_mergeable(base, acted, MERGES[merge].brings)


INSIDE = [row for row in TABLE if MERGES[row[0]].hook]


@pytest.mark.parametrize(("merge", "dirt", "expected"), rows(INSIDE, ("clean",)))
def test_inside_the_hook(base: Repo, merge: str, dirt: str, expected: str) -> None:
    prepare(base, merge)
    pristine = take(base)
    ended = inside_hook(base, MERGES[merge].hook, dirt)
    MERGES[merge].run(base)
    acted = ended()
    assert acted.outcome == expected, acted.sentence
    if merge != "autostash":
        judge(base, acted, pristine)
    elif expected == ROLLED_BACK:
        # git applies the stash when the hook has ended, on whatever is there then, and keeps it where it cannot.
        assert base.tip() == acted.old
        kept = base("stash", "show", "--patch") if base("stash", "list") else ""
        assert "an edit of the user's" in (base.top / "docs/guide.md").read_text() + kept or dirt == "edit elsewhere"
    if expected == ROLLED_BACK:
        prove_mergeable(base, acted, MERGES[merge].brings)


def test_the_table_is_whole() -> None:
    outcomes = [row[2] for row in TABLE + INSIDE]
    print({outcome: outcomes.count(outcome) for outcome in (ROLLED_BACK, REFUSED, NOTHING)}, "in", len(outcomes))
    assert len(outcomes) >= 40
    assert min(outcomes.count(outcome) for outcome in (ROLLED_BACK, REFUSED, NOTHING)) >= 10
