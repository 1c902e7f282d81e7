"""Prepared branches: without what came, or without its culprit; nobody's work tree notices."""

from __future__ import annotations

from collections.abc import Callable

from merge_guard.git import Git
from merge_guard.propose import propose_revert, propose_without
from merge_guard.values import Action, Arrival, Kind
from tests.merge_guard.building import NOW, Repo, environment
from tests.merge_guard.snapshot import Snapshot, take

GOOD: Callable[[str], str] = lambda commit: ""  # noqa: E731


def five(base: Repo) -> tuple[Arrival, list[str]]:
    """Five commits come by a fast-forward; the third is the bad one."""
    old = base.tip()
    base("switch", "--quiet", "--create", "five")
    made = [base.commit(f"Number {number}", {f"n{number}.txt": f"{number}\n"}) for number in range(1, 6)]
    base("switch", "--quiet", "main")
    base("merge", "--quiet", "--ff-only", "five")
    return Arrival(old=old, new=made[-1], kind=Kind.FAST_FORWARD, branch="main", pulled=False, commits=5), made


def demand_untouched(base: Repo, before: Snapshot, *branches: str) -> None:
    after = take(base)
    assert (after.files, after.index, after.own) == (before.files, before.index, before.own)
    assert set(after.refs) - set(before.refs) == {f"refs/heads/{branch}" for branch in branches}
    assert {name: after.refs[name] for name in before.refs} == before.refs


def test_without_the_third_of_five(base: Repo) -> None:
    arrival, made = five(base)
    before = take(base)
    tested: list[str] = []

    def test(commit: str) -> str:
        tested.append(commit)
        listed = base("ls-tree", "--name-only", commit).split()
        return "n3.txt is still there" if "n3.txt" in listed else ""

    done = propose_without(base.git, arrival, made[2], now=NOW, test=test)
    assert done.action is Action.PROPOSED, done.sentence
    assert done.proposal == f"quantum/without-{made[2][:12]}"
    assert tested == [base.tip(done.proposal)] and base.parents(done.proposal) == [arrival.new]
    changed = base("diff", "--name-status", arrival.new, done.proposal).split()
    assert changed == ["D", "n3.txt"]
    assert made[2] in base("log", "-1", "--format=%B", done.proposal)
    demand_untouched(base, before, done.proposal)
    again = propose_without(base.git, arrival, made[2], now=NOW.replace(minute=9), test=GOOD)
    assert again.proposal == done.proposal, "once is enough"


def test_a_revert_of_a_pushed_merge(base: Repo) -> None:
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    new = base.tip()
    arrival = Arrival(old=base.tip("HEAD~1"), new=new, kind=Kind.MERGE, branch="main", pulled=False, commits=1)
    before = take(base)
    done = propose_revert(base.git, arrival, now=NOW, test=GOOD)
    assert done.action is Action.PROPOSED and done.proposal == f"quantum/revert-{new[:12]}"
    assert base("rev-parse", f"{done.proposal}^{{tree}}") == base("rev-parse", f"{arrival.old}^{{tree}}")
    demand_untouched(base, before, done.proposal)
    base("merge", "--quiet", "--ff-only", done.proposal)
    assert not (base.top / "feature/new.py").exists()


def test_a_revert_keeps_what_came_later(base: Repo) -> None:
    arrival, _ = five(base)
    base.commit("Later", {"later.txt": "later\n"})
    done = propose_revert(base.git, arrival, now=NOW, test=GOOD)
    assert done.action is Action.PROPOSED, done.sentence
    listed = base("ls-tree", "--name-only", done.proposal).split()
    assert "later.txt" in listed and not {f"n{number}.txt" for number in range(1, 6)} & set(listed)


def test_a_clash_with_what_came_later(base: Repo) -> None:
    arrival, made = five(base)
    base.commit("Later", {"n3.txt": "changed since\n"})
    before = take(base)
    done = propose_without(base.git, arrival, made[2], now=NOW, test=GOOD)
    assert done.action is Action.REFUSED and "later changes" in done.sentence
    demand_untouched(base, before)


def test_what_is_not_green_is_not_proposed(base: Repo) -> None:
    arrival, made = five(base)
    before = take(base)
    done = propose_without(base.git, arrival, made[2], now=NOW, test=lambda commit: "its smoke test is red, too")
    assert done.action is Action.REFUSED and "red, too" in done.sentence
    demand_untouched(base, before)


def test_a_culprit_that_is_a_merge(base: Repo) -> None:
    old = base.tip()
    base("switch", "--quiet", "--create", "long")
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    culprit = base.tip()
    base.commit("After", {"after.txt": "after\n"})
    base("switch", "--quiet", "main")
    base("merge", "--quiet", "--ff-only", "long")
    arrival = Arrival(old=old, new=base.tip(), kind=Kind.FAST_FORWARD, branch="main", pulled=False, commits=2)
    done = propose_without(base.git, arrival, culprit, now=NOW, test=GOOD)
    assert done.action is Action.PROPOSED, done.sentence
    listed = base("ls-tree", "-r", "--name-only", done.proposal).split()
    assert "after.txt" in listed and "gone.txt" in listed and "feature/new.py" not in listed


def test_a_name_that_is_taken(base: Repo) -> None:
    arrival, made = five(base)
    base("branch", f"quantum/without-{made[2][:12]}", "topic")
    done = propose_without(base.git, arrival, made[2], now=NOW, test=GOOD)
    assert done.proposal == f"quantum/without-{made[2][:12]}-2"


def test_whose_commit_it_is(base: Repo) -> None:
    arrival, made = five(base)
    base("config", "user.name", "Grace Hopper")
    base("config", "user.email", "grace@example.org")
    nobody = {name: value for name, value in environment().items() if not name.endswith(("_NAME", "_EMAIL"))}
    git = Git(base.top, program=base.program, environment=nobody)
    done = propose_without(git, arrival, made[2], now=NOW, test=GOOD)
    assert base("log", "-1", "--format=%an <%ae> %ct", done.proposal) == (
        f"Grace Hopper <grace@example.org> {int(NOW.timestamp())}"
    )
    base("config", "--unset", "user.name")
    base("config", "--unset", "user.email")
    base("config", "user.useConfigOnly", "true")
    done = propose_without(git, arrival, made[1], now=NOW, test=GOOD)
    assert base("log", "-1", "--format=%an <%ae>", done.proposal) == "Quantum <quantum@localhost>"
