"""Somebody else acts at the worst moment: another merge, the user's editor or git, a check that is not confirmed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from foundation.errors import Conflict
from merge_guard.arrival import read_arrival
from merge_guard.doctor import mend
from merge_guard.moving import STEPS
from merge_guard.repository import hold
from merge_guard.rollback import roll_back
from merge_guard.values import Action, Arrival, Event, Outcome
from tests.merge_guard.building import CHECK, NOW, Repo
from tests.merge_guard.judging import Acted, act, judge
from tests.merge_guard.kinds import REFUSED, ROLLED_BACK
from tests.merge_guard.snapshot import Snapshot, take


def arrived(base: Repo) -> Arrival:
    """Merge the topic and return what came."""
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    arrival = read_arrival(base.git, base.repository, event=Event.POST_MERGE)
    assert isinstance(arrival, Arrival)
    return arrival


def rolled_back_while(base: Repo, arrival: Arrival, meanwhile: Callable[[], None], at: str = "confirm") -> Outcome:
    """Take the arrival back; `meanwhile` happens once, when confirmation is asked or when a step is done."""
    happened: list[str] = []

    def once(name: str) -> str:
        if name == at and not happened:
            happened.append(name)
            meanwhile()
        return ""

    done = roll_back(
        base.git,
        base.repository,
        arrival,
        check_id=CHECK,
        now=NOW,
        confirm=lambda: once("confirm"),
        step=lambda name: (once(name), None)[1],
    )
    assert happened
    return done


def demand_untouched(base: Repo, before: Snapshot) -> None:
    judge(base, Acted(REFUSED, "", "", "", before), before)


def test_not_confirmed(base: Repo) -> None:
    arrival = arrived(base)
    before = take(base)
    done = roll_back(
        base.git, base.repository, arrival, check_id=CHECK, now=NOW, confirm=lambda: "the attempt is not the newest"
    )
    assert done.action is Action.REFUSED and "not the newest" in done.sentence
    demand_untouched(base, before)


def test_two_merges_at_once(base: Repo) -> None:
    arrival = arrived(base)
    before = take(base)
    with hold(base.repository):
        assert act(base).outcome == REFUSED
    demand_untouched(base, before)
    inner: list[Acted] = []
    done = rolled_back_while(base, arrival, lambda: inner.append(act(base)))
    assert (done.action, [one.outcome for one in inner]) == (Action.ROLLED_BACK, [REFUSED])


def test_where_nothing_is_half_made_the_doctor_is_in_nobodys_way(base: Repo) -> None:
    """Every check lets it look first, also while another one takes a merge back."""
    arrived(base)
    with hold(base.repository):
        assert mend(base.repository, git=base.git) == []
        (base.top / ".git/quantum/forms-left").mkdir()
        with pytest.raises(Conflict):
            mend(base.repository, git=base.git)
    assert mend(base.repository, git=base.git) == [] and not (base.top / ".git/quantum/forms-left").exists()


def test_the_same_one_twice(base: Repo) -> None:
    arrival = arrived(base)
    for expected in (Action.ROLLED_BACK, Action.REFUSED):
        done = roll_back(base.git, base.repository, arrival, check_id=CHECK, now=NOW, confirm=lambda: "")
        assert done.action is expected, done.sentence


@pytest.mark.parametrize("at", ["confirm", "intent"])
def test_user_commits_meanwhile(base: Repo, at: str) -> None:
    arrival = arrived(base)
    made: list[str] = []
    done = rolled_back_while(base, arrival, lambda: made.append(base.commit("Mine", {"mine.txt": "mine\n"})), at)
    assert done.action is Action.REFUSED and "HEAD was moved" in done.sentence
    assert base.tip() == made[0] and base("status", "--porcelain", "--ignore-submodules") == ""


def moved_by_plumbing(base: Repo) -> None:
    """Another commit comes to main without the index being asked, while it is taken back."""
    arrival = arrived(base)
    tree = base("rev-parse", "HEAD^{tree}")
    made: list[str] = []

    def move() -> None:
        made.append(base("commit-tree", tree, "-p", "HEAD", "-m", "Mine"))
        base("update-ref", "refs/heads/main", made[0])

    done = rolled_back_while(base, arrival, move, "copied")
    assert base.tip() == made[0]
    assert done.action is Action.REFUSED


def test_a_commit_comes_by_plumbing_meanwhile(base: Repo) -> None:
    moved_by_plumbing(base)
    assert mend(base.repository, git=base.git) == []
    assert base("status", "--porcelain", "--ignore-submodules") == ""


@pytest.mark.parametrize("at", ["confirm", "intent"])
def test_user_switches_the_branch_meanwhile(base: Repo, at: str) -> None:
    arrival = arrived(base)
    done = rolled_back_while(base, arrival, lambda: _quietly(base, "switch", "--create", "elsewhere"), at)
    assert done.action is Action.REFUSED
    assert base.tip("main") == base.tip("elsewhere") == arrival.new
    assert base("status", "--porcelain", "--ignore-submodules") == ""


@pytest.mark.parametrize("at", ["confirm", *STEPS[: STEPS.index("switched")]])
def test_user_saves_a_file_meanwhile(base: Repo, at: str) -> None:
    arrival = arrived(base)
    before = take(base)
    done = rolled_back_while(base, arrival, lambda: base.write("app.py", "Saved\n"), at)
    assert done.action is Action.REFUSED
    demand_untouched(base, replace(before, files={**before.files, "app.py": ("file", b"Saved\n")}))


@pytest.mark.parametrize("at", ["confirm", *STEPS[: STEPS.index("switched")]])
def test_an_untracked_file_appears_meanwhile(base: Repo, at: str) -> None:
    arrival = arrived(base)
    before = take(base)
    done = rolled_back_while(base, arrival, lambda: base.write("kept.log", "Mine, ignored\n"), at)
    assert done.action is Action.REFUSED
    demand_untouched(base, replace(before, files={**before.files, "kept.log": ("file", b"Mine, ignored\n")}))


@pytest.mark.parametrize("at", STEPS[STEPS.index("locked") : STEPS.index("cleared")])
def test_the_users_git_cannot_change_the_index_meanwhile(base: Repo, at: str) -> None:
    arrival = arrived(base)
    user_adds_meanwhile(base, arrival, at)


def user_adds_meanwhile(base: Repo, arrival: Arrival, at: str) -> None:
    """Git either refuses the user's work, or keeps it."""
    before = take(base)
    added: list[bool] = []

    def attempt() -> None:
        base.write("mine.txt", "mine\n")
        base("add", "mine.txt", ok=(0, 128))
        added.append("mine.txt" in base("ls-files"))

    assert rolled_back_while(base, arrival, attempt, at).action is Action.ROLLED_BACK
    after = take(base)
    assert "mine.txt" in after.files
    assert added == [False] or "mine.txt:0" in after.index
    assert before.commits <= after.commits


def test_the_users_lock_on_the_index_is_left_alone(base: Repo) -> None:
    arrived(base)
    before = take(base)
    lock = base.top / ".git/index.lock"
    lock.write_bytes(b"")
    acted = act(base)
    assert acted.outcome == REFUSED and "index.lock" in acted.sentence
    assert lock.read_bytes() == b""
    lock.unlink()
    demand_untouched(base, before)


@pytest.mark.parametrize("name", ["HEAD.lock", "refs/heads/main.lock"])
def test_the_users_lock_on_a_ref_is_left_alone(base: Repo, name: str) -> None:
    arrived(base)
    before = take(base)
    lock = base.top / ".git" / name
    lock.write_bytes(b"")
    assert act(base).outcome == REFUSED
    assert lock.exists()
    assert mend(base.repository, git=base.git) == []
    assert lock.exists()
    lock.unlink()
    demand_untouched(base, before)


def test_a_file_changed_at_the_moment_of_the_merge(base: Repo) -> None:
    """The index is as old as the file, to the nanosecond, and the size is the same: git calls that racy."""
    arrived(base)
    place = base.top / "app.py"
    index = (base.top / ".git/index").stat()
    place.write_text(place.read_text().replace("line three", "line THREE"))
    os.utime(place, ns=(index.st_mtime_ns, index.st_mtime_ns))
    acted = act(base)
    assert acted.outcome == REFUSED, acted.sentence
    demand_untouched(base, acted.before)


@pytest.mark.parametrize("command", ["cherry-pick", "revert", "rebase"])
def test_in_the_midst_of_something(base: Repo, command: str) -> None:
    arrival = arrived(base)
    base("switch", "--quiet", "--create", "aside", "main~1")
    base.commit("Clash", {"app.py": "all else\n"})
    other = base.tip()
    base("switch", "--quiet", "main")
    arguments = {"cherry-pick": [other], "revert": ["--no-commit", "HEAD~1", "-m1"], "rebase": ["aside"]}[command]
    if command == "revert":
        (base.top / ".git/REVERT_HEAD").write_text(arrival.new + "\n")
    else:
        base(command, *arguments, ok=(1,))
    before = take(base)
    done = roll_back(base.git, base.repository, arrival, check_id=CHECK, now=NOW, confirm=lambda: "")
    assert done.action is Action.REFUSED and "in the midst" in done.sentence
    demand_untouched(base, before)


def test_another_merge_is_under_way(base: Repo) -> None:
    arrival = arrived(base)
    base("merge", "--no-commit", "--no-ff", "second")
    before = take(base)
    done = roll_back(base.git, base.repository, arrival, check_id=CHECK, now=NOW, confirm=lambda: "")
    assert done.action is Action.REFUSED and "another merge" in done.sentence
    demand_untouched(base, before)
    assert (base.top / ".git/MERGE_HEAD").exists()


def test_outcomes_are_told_apart(base: Repo) -> None:
    """The control of this file: with nobody else about, it is taken back."""
    arrived(base)
    assert act(base).outcome == ROLLED_BACK


def _quietly(repo: Repo, *arguments: str) -> None:
    repo(*arguments)
