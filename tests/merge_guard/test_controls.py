"""The controls: with a protection taken out, the tests of this folder fail."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from merge_guard import moving
from merge_guard.git import Git
from merge_guard.touching import hindrances
from merge_guard.values import Action, Arrival, Outcome
from tests.merge_guard import test_generated, test_kill, test_matrix, test_paths, test_places, test_races
from tests.merge_guard.building import Repo
from tests.merge_guard.judging import act, judge
from tests.merge_guard.kinds import DIRTS, MERGES, REFUSED, ROLLED_BACK
from tests.merge_guard.snapshot import take


def reset(*mode: str) -> Callable[..., Outcome]:
    """What stood in the hook once, and the obvious cures."""

    def roll_back(git: Git, repository: object, arrival: Arrival, **_: object) -> Outcome:
        done = git.run("reset", "--quiet", *mode, arrival.old)
        return Outcome(action=Action.REFUSED if done.exit_code else Action.ROLLED_BACK, sentence=done.said)

    return roll_back


@pytest.mark.parametrize("mode", ["--hard", "--merge"])
@pytest.mark.parametrize("dirt", ["edit elsewhere", "new file staged"])
def test_a_plain_reset_loses_work(base: Repo, mode: str, dirt: str) -> None:
    lost = dirt if mode == "--hard" else "merged file staged"
    pristine = take(base)
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    merged = take(base)
    DIRTS[lost].make(base)
    with pytest.raises(AssertionError):
        judge(base, act(base, merged=merged, rolling_back=reset(mode)), pristine)


def test_reset_keep_does_nothing_inside_the_hook(base: Repo) -> None:
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    (base.top / ".git/MERGE_HEAD").write_text(base.tip("topic") + "\n")
    assert act(base, rolling_back=reset("--keep")).outcome == REFUSED
    assert act(base).outcome == ROLLED_BACK


def no_hindrances(*_: object) -> list[str]:
    return []


@pytest.mark.parametrize("dirt", ["ignored clash"])
def test_without_our_own_look_at_the_files(base: Repo, monkeypatch: pytest.MonkeyPatch, dirt: str) -> None:
    monkeypatch.setattr(moving, "hindrances", no_hindrances)
    with pytest.raises(AssertionError):
        test_matrix.test_after_the_merge(base, "no-ff", dirt, REFUSED)


def test_without_our_own_look_at_filtered_files(tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "hindrances", no_hindrances)
    with pytest.raises(AssertionError):
        test_paths.test_line_endings_and_filters(tmp_path, program, True)


def test_with_merge_head_left_behind(base: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    pristine = take(base)
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    (base.top / ".git/MERGE_HEAD").write_text(base.tip("topic") + "\n")
    monkeypatch.setattr(moving, "merge_heads", lambda _: ())
    acted = act(base)
    assert acted.outcome == ROLLED_BACK
    judge(base, acted, pristine)
    (base.top / ".git/MERGE_MSG").unlink(missing_ok=True)
    base("commit", "--quiet", "--allow-empty", "-m", "Next")
    assert base.parents() != [acted.old], "the topic counts as merged, and can never be merged again"


def test_without_compare_and_swap(base: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    say = moving_say()

    def careless(self: Any, *lines: str) -> None:
        say(self, *(line.rpartition(" ")[0] if line.startswith("update HEAD ") else line for line in lines))

    monkeypatch.setattr("merge_guard.git.Conversation.say", careless)
    monkeypatch.setattr(moving, "_demand_free", lambda *_: None)
    with pytest.raises(AssertionError):
        test_races.moved_by_plumbing(base)


def moving_say() -> Callable[..., None]:
    """The real thing, before it is replaced."""
    from merge_guard.git import Conversation

    return Conversation.say


def test_without_the_lock_on_the_index(base: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    arrival = test_races.arrived(base)
    monkeypatch.setattr(moving, "take_index_lock", lambda _: None)
    with pytest.raises(AssertionError):
        test_races.user_adds_meanwhile(base, arrival, "recorded")


def test_without_the_second_look(base: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ignored file that appears after the first look is overwritten by git."""
    real, looks = hindrances, []

    def once(*arguments: Any) -> list[str]:
        looks.append(arguments)
        return real(*arguments) if len(looks) == 1 else []

    monkeypatch.setattr(moving, "hindrances", once)
    with pytest.raises(AssertionError):
        test_races.test_an_untracked_file_appears_meanwhile(base, "copied")


@pytest.mark.parametrize("step", ["locked", "prepared", "switched", "indexed"])
def test_without_mending(base: Repo, tmp_path: Path, step: str) -> None:
    ends = test_kill.Ends(base, tmp_path)
    repo = ends.fresh("victim")
    assert test_kill.run(repo, "roll_back", step).returncode == -signal.SIGKILL
    assert (repo.top / ".git/index.lock").exists()
    (repo.top / ".git/index.lock").unlink()
    clean = test_kill.state_is_clean(repo)
    whole = test_kill.state(repo) in (ends.before, ends.after)
    assert not (clean and whole)


def test_with_the_variables_of_a_hook(base: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merge_guard.git._KEPT", frozenset({"GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"}))
    with pytest.raises(AssertionError):
        test_places.test_another_repositorys_variables_do_not_lead_astray(base, tmp_path)


def test_a_merge_that_was_pushed(base: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merge_guard.rollback.pushed_to", lambda *_: "")
    with pytest.raises(AssertionError):
        test_places.test_pushed_is_refused(base)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["--hard", "--keep"])
def test_generated_repositories_find_a_plain_reset(program: str, mode: str) -> None:
    with pytest.raises(AssertionError):
        test_generated.live_many(50, program, rolling_back=reset(mode))


def test_the_control_of_the_controls(base: Repo) -> None:
    """With nothing taken out, what is used above passes."""
    MERGES["no-ff"].run(base)
    assert act(base).outcome == ROLLED_BACK
