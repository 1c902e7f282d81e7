"""Letting a tested merge in: the branch moves only from where it was, and never over the user's work."""

from __future__ import annotations

from pathlib import Path

import pytest

from merge_guard.arrival import read_arrival
from merge_guard.enter import enter
from merge_guard.values import Action, Event, Nothing, Outcome
from tests.merge_guard.building import CHECK, Repo
from tests.merge_guard.kinds import DIRTS, ROLLED_BACK
from tests.merge_guard.snapshot import take


@pytest.fixture
def scratch(base: Repo, tmp_path: Path) -> Repo:
    """A scratch clone in which topic is merged, as a check does it."""
    base("clone", "--quiet", "--shared", str(base.top), str(tmp_path / "scratch"))
    clone = Repo(tmp_path / "scratch", base.program)
    clone("checkout", "--quiet", "--detach", base.tip())
    clone("merge", "--quiet", "--no-ff", "--no-edit", "origin/topic")
    return clone


def entered(base: Repo, scratch: Repo, old: str = "", reason: str = "") -> Outcome:
    return enter(
        base.git,
        base.repository,
        scratch=scratch.top,
        candidate=scratch.tip(),
        topic="topic",
        branch="main",
        old=old or base.tip(),
        check_id=CHECK,
        confirm=lambda: reason,
    )


@pytest.mark.parametrize("dirt", [name for name in DIRTS if DIRTS[name].outcome == ROLLED_BACK])
def test_let_in(base: Repo, scratch: Repo, dirt: str) -> None:
    DIRTS[dirt].make(base)
    before = take(base)
    done = entered(base, scratch)
    assert done.action is Action.MERGED, done.sentence
    assert base.tip() == scratch.tip() and base("symbolic-ref", "HEAD") == "refs/heads/main"
    after = take(base)
    touched = set(base("diff", "--name-only", base.tip() + "^1", base.tip()).split())
    assert touched >= {"app.py", "feature/new.py", "gone.txt"}
    mine = {path: entry for path, entry in before.files.items() if path not in touched}
    assert {path: entry for path, entry in after.files.items() if path not in touched} == mine
    assert before.commits <= after.commits
    assert "app.py" not in base("status", "--porcelain")
    arrival = read_arrival(base.git, base.repository, event=Event.RECONCILE)
    assert isinstance(arrival, Nothing), "it was tested before"


@pytest.mark.parametrize("way", ["edit", "staged", "untracked", "ignored"])
def test_in_the_users_way(base: Repo, scratch: Repo, way: str) -> None:
    if way in ("edit", "staged"):
        base.write("app.py", "Edited\n")
        if way == "staged":
            base("add", "app.py")
    elif way == "untracked":
        base.write("feature/new.py", "Mine\n")
    else:
        base.write(".git/info/exclude", "feature/\n")
        base.write("feature/new.py", "Mine, and ignored\n")
    before = take(base)
    done = entered(base, scratch)
    assert done.action is Action.REFUSED and "touch your work" in done.sentence
    assert take(base) == before


def test_the_branch_has_moved(base: Repo, scratch: Repo) -> None:
    old = base.tip()
    base.commit("Mine", {"mine.txt": "mine\n"})
    before = take(base)
    done = entered(base, scratch, old)
    assert done.action is Action.REFUSED and "HEAD was moved" in done.sentence
    assert take(base) == before


def test_not_confirmed(base: Repo, scratch: Repo) -> None:
    before = take(base)
    done = entered(base, scratch, reason="the attempt is not the newest")
    assert done.action is Action.REFUSED and "not the newest" in done.sentence
    assert take(base) == before


def test_in_the_midst_of_a_merge(base: Repo, scratch: Repo) -> None:
    base("merge", "--no-commit", "--no-ff", "second")
    assert entered(base, scratch).action is Action.REFUSED
