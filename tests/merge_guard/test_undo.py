"""Bringing back what was rolled back."""

from __future__ import annotations

import pytest

from merge_guard.undo import undo
from merge_guard.values import Action, Outcome
from tests.merge_guard.building import CHECK, Repo
from tests.merge_guard.judging import act
from tests.merge_guard.kinds import DIRTS, MERGES, ROLLED_BACK
from tests.merge_guard.snapshot import take


def rolled_back(base: Repo, merge: str = "no-ff") -> tuple[str, str]:
    """Merge and take it back; returns where main is and the ref that keeps what came."""
    MERGES[merge].run(base)
    assert act(base, MERGES[merge].hook).outcome == ROLLED_BACK
    return base.tip(), base("for-each-ref", "--format=%(refname)", "refs/quantum/rollback")


def undone(base: Repo, old: str, kept: str, branch: str = "main") -> Outcome:
    return undo(base.git, base.repository, branch=branch, old=old, kept_ref=kept, check_id=CHECK)


@pytest.mark.parametrize("merge", ["ff", "no-ff", "octopus", "pull"])
@pytest.mark.parametrize("dirt", ["clean", "edit elsewhere", "new file staged", "untracked and ignored elsewhere"])
def test_brought_back(base: Repo, merge: str, dirt: str) -> None:
    DIRTS[dirt].make(base) if dirt != "new file staged" else None
    MERGES[merge].run(base)
    merged = take(base)
    assert act(base, MERGES[merge].hook).outcome == ROLLED_BACK
    kept = base("for-each-ref", "--format=%(refname)", "refs/quantum/rollback")
    done = undone(base, base.tip(), kept)
    assert done.action is Action.MERGED, done.sentence
    assert take(base) == merged
    assert base.tip(kept) == base.tip()


def test_a_branch_that_has_gone_on(base: Repo) -> None:
    old, kept = rolled_back(base)
    base.commit("Mine", {"mine.txt": "mine\n"})
    before = take(base)
    done = undone(base, old, kept)
    assert done.action is Action.REFUSED and f"git merge {kept}" in done.sentence
    assert take(base) == before
    base("merge", "--quiet", "--no-edit", kept)
    assert (base.top / "feature/new.py").exists()


@pytest.mark.parametrize("dirt", ["edit in a merged file", "merged file staged"])
def test_the_users_work_is_in_the_way(base: Repo, dirt: str) -> None:
    old, kept = rolled_back(base)
    base.write("app.py", "Edited\n")
    if "staged" in dirt:
        base("add", "app.py")
    base.write("feature/new.py", "Untracked\n")
    before = take(base)
    done = undone(base, old, kept)
    assert done.action is Action.REFUSED and "touch your work" in done.sentence
    assert take(base) == before


def test_another_branch_is_checked_out(base: Repo) -> None:
    old, kept = rolled_back(base)
    base("switch", "--quiet", "--create", "other")
    done = undone(base, old, kept)
    assert done.action is Action.REFUSED and "git switch main" in done.sentence


def test_the_kept_ref_is_gone(base: Repo) -> None:
    old, kept = rolled_back(base)
    base("update-ref", "-d", kept)
    assert undone(base, old, kept).action is Action.REFUSED


def test_two_rollbacks_of_the_same_keep_it_once(base: Repo) -> None:
    old, kept = rolled_back(base, "ff")
    base("merge", "--quiet", "topic")
    assert act(base).outcome == ROLLED_BACK
    assert base("for-each-ref", "--format=%(refname)", "refs/quantum/rollback") == kept
    assert base.tip() == old
