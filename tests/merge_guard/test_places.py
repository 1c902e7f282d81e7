"""Unusual repositories: linked work trees, detached, unborn, shallow, bare, pushed, with hooks elsewhere, sparse."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from foundation.errors import NotFound, Unsupported
from merge_guard.arrival import read_arrival
from merge_guard.doctor import mend
from merge_guard.git import Git
from merge_guard.pushed import pushed_to
from merge_guard.repository import open_repository
from merge_guard.rollback import roll_back
from merge_guard.values import Arrival, Event, Nothing
from tests.merge_guard.building import Repo, environment, make
from tests.merge_guard.judging import act, judge, prove_mergeable
from tests.merge_guard.kinds import NOTHING, REFUSED, ROLLED_BACK
from tests.merge_guard.snapshot import take


def merged(repo: Repo, expected: str, *command: str) -> None:
    """Merge, let the guard act, and judge."""
    pristine = take(repo)
    repo(*(command or ("merge", "--no-edit", "--no-ff", "topic")))
    acted = act(repo)
    assert acted.outcome == expected, acted.sentence
    judge(repo, acted, pristine)
    if expected == ROLLED_BACK:
        prove_mergeable(repo, acted, "topic")


def test_linked_work_tree(base: Repo, tmp_path: Path) -> None:
    base("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "linked"), "main")
    main = take(base)
    linked = Repo(tmp_path / "linked", base.program)
    merged(linked, ROLLED_BACK)
    assert linked.repository.common_dir == base.repository.common_dir
    assert linked.repository.git_dir != base.repository.git_dir
    assert (take(base).files, take(base).index, take(base).head) == (main.files, main.index, main.head)


def test_main_work_tree_beside_a_linked_one(base: Repo, tmp_path: Path) -> None:
    base("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "linked"), "main")
    linked = Repo(tmp_path / "linked", base.program)
    linked.write("app.py", "Edited in the other tree\n")
    other = take(linked)
    merged(base, ROLLED_BACK)
    assert take(linked).files == other.files


@pytest.mark.parametrize("here", ["main", "linked"])
def test_a_branch_that_another_work_tree_has_too(base: Repo, tmp_path: Path, here: str) -> None:
    base("worktree", "add", "--quiet", "--force", str(tmp_path / "linked"), "main")
    linked = Repo(tmp_path / "linked", base.program)
    one, other = (base, linked) if here == "main" else (linked, base)
    other("switch", "--quiet", "--detach")
    one("merge", "--quiet", "--no-edit", "--no-ff", "topic")
    other("switch", "--quiet", "--ignore-other-worktrees", "main")
    before = take(other)
    acted = act(one)
    assert acted.outcome == REFUSED and "another work tree" in acted.sentence
    assert take(other) == before
    other("switch", "--quiet", "--detach")
    assert act(one).outcome == ROLLED_BACK


def test_a_work_tree_of_a_bare_repository(base: Repo, tmp_path: Path) -> None:
    base("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    bare = Repo(tmp_path / "bare.git", base.program)
    assert bare("symbolic-ref", "HEAD") == "refs/heads/main"
    bare("worktree", "add", "--quiet", "--force", str(tmp_path / "linked"), "main")
    merged(Repo(tmp_path / "linked", base.program), ROLLED_BACK)


def test_a_submodules_own_merge(base: Repo) -> None:
    lib = Repo(base.top / "lib", base.program)
    lib("switch", "--quiet", "--create", "topic", "HEAD")
    lib.commit("Topic", {"more.py": "more\n"})
    lib("switch", "--quiet", "main")
    merged(lib, ROLLED_BACK)


def test_detached(base: Repo) -> None:
    base("checkout", "--quiet", "--detach")
    merged(base, ROLLED_BACK)


def test_unborn(program: str, base: Repo, tmp_path: Path) -> None:
    fresh = make(tmp_path / "fresh", program)
    assert fresh.git.commit_of("HEAD") == ""
    arrival = read_arrival(fresh.git, fresh.repository, event=Event.POST_MERGE)
    assert isinstance(arrival, Nothing) and "no commit yet" in arrival.reason
    fresh("pull", "--quiet", str(base.top), "main")
    arrival = read_arrival(fresh.git, fresh.repository, event=Event.POST_MERGE)
    assert isinstance(arrival, Nothing), arrival


@pytest.mark.parametrize("depth", [1, 2])
def test_shallow(base: Repo, tmp_path: Path, depth: int) -> None:
    origin = Repo(tmp_path / "origin.git", base.program)
    base("switch", "--quiet", "topic")
    base("commit", "--quiet", "--allow-empty", "-m", "Later")
    base("push", "--quiet", "--force", "origin", "topic~1:main")
    base("clone", "--quiet", f"--depth={depth}", f"file://{origin.top}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow", base.program)
    assert shallow.git.text("rev-parse", "--is-shallow-repository") == "true"
    base("push", "--quiet", "origin", "topic:main")
    pristine = take(shallow)
    shallow("pull", "--quiet")
    acted = act(shallow)
    assert acted.outcome == ROLLED_BACK, acted.sentence
    judge(shallow, acted, pristine)


def test_bare(base: Repo, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="bare"):
        open_repository(tmp_path / "origin.git", git=base.git)
    with pytest.raises(NotFound):
        open_repository(tmp_path, git=base.git)


def test_inside_a_submodule(base: Repo) -> None:
    lib = Repo(base.top / "lib", base.program)
    lib("checkout", "--quiet", "-B", "main", "HEAD")
    lib("merge", "--quiet", "--ff-only", "origin/main")
    outer = take(base)
    acted = act(lib)
    assert acted.outcome == ROLLED_BACK, acted.sentence
    assert (lib.top / "lib.py").read_text() == "one\n"
    assert take(base).refs == outer.refs and take(base).index == outer.index


@pytest.mark.parametrize("inside", [False, True])
def test_hooks_of_the_user_do_not_run(base: Repo, tmp_path: Path, inside: bool) -> None:
    hooks = base.top / ".git" / "hooks" if inside else tmp_path / "hooks"
    hooks.mkdir(exist_ok=True)
    if not inside:
        base("config", "core.hooksPath", str(hooks))
    pristine = take(base)
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    for name in ("post-merge", "post-checkout", "reference-transaction", "post-index-change", "pre-commit"):
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> '{tmp_path}/ran'\n")
        (hooks / name).chmod(0o755)
    base("update-ref", "refs/heads/proof", "HEAD")
    assert "reference-transaction" in (tmp_path / "ran").read_text(), "the control: hooks do run for the user"
    (tmp_path / "ran").unlink()
    base.extra["GIT_CONFIG_COUNT"] = "1"
    base.extra |= {"GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": "/dev/null"}
    acted = act(base)
    assert acted.outcome == ROLLED_BACK, acted.sentence
    judge(base, acted, pristine)
    assert not (tmp_path / "ran").exists()


def test_pushed_is_refused(base: Repo) -> None:
    base("push", "--quiet", "--force", "origin", "main")
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    base("push", "--quiet", "origin", "main")
    pristine = take(base)
    acted = act(base)
    assert acted.outcome == REFUSED and "pushed to origin/main" in acted.sentence
    judge(base, acted, pristine)


def test_pushed_and_forced_away_again_is_refused(base: Repo) -> None:
    base("push", "--quiet", "--force", "origin", "main")
    before = base.tip()
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    base("push", "--quiet", "origin", "main")
    base("push", "--quiet", "--force", "origin", f"{before}:main")
    assert act(base).outcome == REFUSED


def test_pushed_before_the_merge_is_taken_back(base: Repo) -> None:
    base("push", "--quiet", "--force", "origin", "main", "topic")
    merged(base, ROLLED_BACK)


def test_pulled_is_not_pushed(base: Repo) -> None:
    base("pull", "--quiet")
    assert "origin/main" in base("branch", "-r", "--contains", "HEAD"), "what would be a wrong proof"
    arrival = read_arrival(base.git, base.repository, event=Event.POST_MERGE)
    assert isinstance(arrival, Arrival) and arrival.pulled
    assert pushed_to(base.git, arrival) == ""


def test_without_a_reflog_there_is_nothing_to_check(base: Repo) -> None:
    base("config", "core.logAllRefUpdates", "false")
    for log in ("HEAD", "refs/heads/main"):
        (base.top / ".git/logs" / log).unlink()
    merged(base, NOTHING)


@pytest.mark.parametrize("cone", ["--cone", "--no-cone"])
@pytest.mark.parametrize("folder", ["docs", "feature"])
def test_sparse_checkout(base: Repo, cone: str, folder: str) -> None:
    base("sparse-checkout", "set", cone, folder)
    base.write("docs/guide.md" if folder == "docs" else "mine.txt", "The user's\n")
    merged(base, ROLLED_BACK)


def test_sparse_checkout_with_a_file_that_should_not_be_there(base: Repo) -> None:
    base("sparse-checkout", "set", "--no-cone", "/*", "!/feature", "!/gone.txt")
    pristine = take(base)
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    base.write("gone.txt", "The user's\n")
    acted = act(base)
    assert acted.outcome == REFUSED, acted.sentence
    judge(base, acted, pristine)


@pytest.mark.parametrize("step", ["recorded", "switched", "indexed"])
def test_what_a_sparse_checkout_leaves_out_is_left_out_after_a_crash(base: Repo, step: str) -> None:
    class Crash(BaseException):
        pass

    def crash(name: str) -> None:
        if name == step:
            raise Crash

    base("sparse-checkout", "set", "--no-cone", "/*", "!/gone.txt", "!/app.py")
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    before = take(base)
    assert "app.py" not in before.files
    with pytest.raises(Crash):
        act(base, rolling_back=partial(roll_back, step=crash))
    assert mend(base.repository, git=base.git)
    assert take(base) == before
    assert act(base).outcome == ROLLED_BACK


def test_by_hand_after_a_reset_there_is_nothing_to_check(base: Repo) -> None:
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    base("reset", "--quiet", "--hard", "HEAD~1")
    pristine = take(base)
    acted = act(base)
    assert acted.outcome == NOTHING and "reset" in acted.sentence
    judge(base, acted, pristine)


def test_by_hand_before_any_merge_there_is_nothing_to_check(base: Repo) -> None:
    pristine = take(base)
    acted = act(base)
    assert acted.outcome == NOTHING
    judge(base, acted, pristine)


def test_a_rollback_is_not_checked_itself(base: Repo) -> None:
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    assert act(base).outcome == ROLLED_BACK
    assert act(base).outcome == NOTHING


def test_another_repositorys_variables_do_not_lead_astray(base: Repo, tmp_path: Path) -> None:
    other = make(tmp_path / "other", base.program)
    other.commit("Other", {"other.txt": "other\n"})
    untouched = take(other)
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    hooked = {
        "GIT_DIR": f"{other.top}/.git",
        "GIT_INDEX_FILE": f"{other.top}/.git/index",
        "GIT_WORK_TREE": str(other.top),
    }
    git = Git(base.top, program=base.program, environment=environment(hooked))
    assert open_repository(base.top, git=git).top == base.top.resolve()
    acted = act(base)
    assert acted.outcome == ROLLED_BACK
    assert take(other) == untouched
