"""The merge guard as its user meets it: plain git, the real hooks, a real system behind them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from cli.processes.identity import of_agents
from tests.acceptance.conftest import one_for_all
from tests.acceptance.guarded import Guarded
from tests.acceptance.system import System, kill
from tests.measured import measured
from tests.waiting import Stopwatch, slowness

OVERHEAD_SECONDS = 3.0
BACKGROUND_SECONDS = 0.100


def _tested(check: dict[str, object]) -> float:
    """Seconds that the runs of the test took themselves."""
    evidence = check["evidence"]
    assert isinstance(evidence, dict)
    return sum(float(run["seconds"]) for run in evidence["runs"])


@pytest.mark.parametrize("within", measured(OVERHEAD_SECONDS))
def test_a_bad_merge_is_taken_back_with_ten_tasks_running_and_comes_again(shared: System, within: float) -> None:
    repository = Guarded.make(shared, f"ten{within:g}")
    shared.agent("hold", "exec sleep 300")
    shared.quantum("submit", "-", given=json.dumps([{"agent": "hold"}] * 10), code=0)
    shared.until(lambda: len(of_agents(shared.root)) == 10, what="ten tasks run")
    repository.dirty()
    before, work = repository.tip, repository.work()

    # What else runs on this machine only adds to the time: the best of three is nearest to the guard's own.
    for _ in range(3):
        merged = repository.merge("bad")
        check = repository.ended()
        busy = slowness()
        overhead = (merged.seconds - _tested(check)) / busy
        print(
            f"\n{merged.said}\nfrom merge to rolled back {merged.seconds:.2f} s, of which tests {_tested(check):.2f} s"
        )
        print(
            f"the guard's own {overhead:.2f} s, on a machine that takes {busy:.1f} times as long as it would by itself"
        )
        assert (check["verdict"], check["action"]) == ("bad", "rolled_back"), check
        if overhead <= within:
            break
    assert overhead <= within
    assert len(check["evidence"]["runs"]) == 10
    assert "rolled back" in merged.said.lower()
    assert check["undo"] in merged.said or f"quantum merge undo {check['id']}" in merged.said
    assert repository.tip == before
    assert repository.work() == work
    assert repository.locks() == []

    # The next commit has one parent, and the topic can be merged again.
    repository.git("commit", "-q", "-a", "-m", "Mine")
    assert len(repository.git("rev-list", "--parents", "-1", "HEAD").split()) == 2
    again = repository.run("git", "merge", "--no-commit", "--no-ff", "bad")
    assert again.code == 0 and "check.sh" in repository.git("diff", "--cached", "--name-only"), again
    repository.git("merge", "--abort")

    # And what was taken away can be had again.
    assert check["evidence"]["kept_ref"] in repository.git("for-each-ref", "--format=%(refname)")

    # The next test finds nothing running.
    shared.quantum("cancel", "--all", code=0)
    shared.until(lambda: of_agents(shared.root) == [], what="the ten have ended")


def test_a_good_merge_stays_and_undo_brings_back_a_bad_one(shared: System) -> None:
    repository = Guarded.make(shared, "undone")
    good = repository.merge("good")
    assert (repository.ended()["verdict"], "good.txt" in os.listdir(repository.folder)) == ("good", True), good

    before = repository.tip
    repository.merge("bad")
    check = repository.ended()
    assert check["action"] == "rolled_back" and repository.tip == before
    undone = shared.quantum("merge", "undo", check["id"], code=0)
    print(undone.out)
    assert repository.tip == check["new"]
    assert repository.git("status", "--porcelain") == ""
    # Nothing takes it away again: neither the reconcile pass nor a hook that is run by hand.
    by_hand = repository.run(".git/hooks/post-merge", "0")
    assert by_hand.code == 0 and repository.tip == check["new"], by_hand


@pytest.fixture(scope="module")
def short_leases(request: pytest.FixtureRequest) -> Iterator[System]:
    """A system that soon sees that somebody was killed."""
    yield from one_for_all(request, lease_seconds=4, heartbeat_seconds=1)


@pytest.mark.parametrize("who", ["hook", "gateway", "coordinator", "runner", "git"])
def test_kill_9_leaves_a_repository_that_is_before_or_after(short_leases: System, who: str) -> None:
    system = short_leases
    system.until(lambda: system.quantum("status").code == 0, within=60, what="all is well, after the last kill too")
    repository = Guarded.make(system, f"killed-{who}")
    repository.dirty()
    before, work = repository.tip, repository.work()
    merging = repository.start("git", "merge", "--no-ff", "--no-edit", "slow")
    system.until(lambda: [one for one in repository.checks() if one["state"] == "running"], what="its test runs")
    after = repository.tip
    assert after != before, "it came before it was tested"

    _KILLS[who](system, merging)
    repository.go_on()
    said, _ = merging.communicate(timeout=200)
    check = repository.ended(within=200)
    repository.system.quantum("merge", "doctor", "--repo", str(repository.folder), code=0)
    print(f"\n{who} killed: {check['verdict']}, {check['action']}: {check['sentence']}\nthe hook said: {said}")
    assert repository.tip in (before, after)
    assert (repository.tip == before) == (check["action"] == "rolled_back"), check
    if repository.tip == before:
        assert repository.work() == work
    assert repository.locks() == []
    assert not [name for name in ("MERGE_HEAD", "MERGE_MODE") if (repository.folder / ".git" / name).exists()] or (
        who == "git" and repository.tip == after
    )


def _kill_service(name: str) -> Callable[[System, subprocess.Popen[str]], None]:
    def run(system: System, _: subprocess.Popen[str]) -> None:
        victim = next(one for called, one in system.running.alive.items() if called.startswith(name))
        assert victim.send(signal.SIGKILL)

    return run


def _kill_git(_: System, merging: subprocess.Popen[str]) -> None:
    merging.kill()


def _kill_hook(_: System, merging: subprocess.Popen[str]) -> None:
    """Everything of git's session but git itself, which then ends by itself."""
    session = merging.pid
    listed = subprocess.run(["ps", "-eo", "pid=,sess="], capture_output=True, text=True, check=True, timeout=60).stdout
    pids = [int(line.split()[0]) for line in listed.splitlines() if int(line.split()[1]) == session]
    hooks = [pid for pid in pids if pid != merging.pid]
    assert hooks, "the hook waits"
    for pid in hooks:
        os.kill(pid, signal.SIGKILL)


_KILLS: dict[str, Callable[[System, subprocess.Popen[str]], None]] = {
    "hook": _kill_hook,
    "gateway": _kill_service("gateway"),
    "coordinator": _kill_service("coordinator"),
    "runner": _kill_service("runner"),
    "git": _kill_git,
}


@pytest.mark.long
def test_in_the_background_git_is_hardly_held(shared: System) -> None:
    repository = Guarded.make(shared, "timed", wishes="background = true\n")
    with_hooks = [_timed(repository, "good") for _ in range(7)]
    repository.git("config", "core.hooksPath", "/dev/null")
    without = [_timed(repository, "good") for _ in range(7)]
    more, busy = min(with_hooks) - min(without), slowness()
    print(f"\nthe hook's own time: {more * 1000:.0f} ms (quickest of 7 less quickest of 7), {busy:.1f} times slowed")
    assert more / busy < BACKGROUND_SECONDS


def test_in_the_background_git_returns_before_the_verdict_and_what_moved_since_is_left_alone(shared: System) -> None:
    repository = Guarded.make(shared, "background", wishes="background = true\n")
    repository.merge("slow")
    # Its test has not come to its end, whatever git has waited for.
    moved_to = repository.commit({"README.md": "second\n"})
    repository.go_on()
    check = repository.ended()
    print(check["sentence"])
    assert (check["verdict"], check["action"]) == ("bad", "refused"), check
    assert repository.tip == moved_to


def _timed(repository: Guarded, branch: str) -> float:
    """One merge, taken away again by its maker."""
    watch = Stopwatch()
    merged = repository.merge(branch)
    assert merged.code == 0, merged
    took = watch.seconds
    repository.git("-c", "core.hooksPath=/dev/null", "reset", "-q", "--keep", "HEAD^")
    return took


def test_five_commits_the_third_is_bad_it_is_named_and_a_branch_without_it_is_green(shared: System) -> None:
    repository = Guarded.make(shared, "five", wishes='policy = "propose"\n')
    repository.git("checkout", "-q", "-b", "five", "main")
    for number in range(1, 6):
        repository.commit({f"part{number}.sh": f"exit {int(number == 3)}\n"})
    # Every part is run by the test of the tree before the merge, which knows only that there may be parts.
    repository.git("checkout", "-q", "main")
    repository.commit({"check.sh": "for part in part*.sh; do [ ! -f $part ] || (. ./$part) || exit 1; done\n"})
    culprit = repository.git("rev-parse", "five~2")
    merged = repository.merge("five", "--ff")
    check = repository.ended()
    print(f"\n{merged.said}")
    assert (check["verdict"], check["action"]) == ("bad", "proposed"), check
    evidence = check["evidence"]
    assert evidence["culprit"]["commit"] == culprit, evidence["culprit"]
    assert repository.tip == check["new"], "it is only proposed"
    assert evidence["proposal"] == f"quantum/without-{culprit[:12]}"
    repository.git("checkout", "-q", evidence["proposal"])
    assert repository.run("sh", "check.sh").code == 0, "it is green, by its own test"
    assert sorted(repository.folder.glob("part*.sh")) == [repository.folder / f"part{n}.sh" for n in (1, 2, 4, 5)]


def test_quantum_merge_lets_in_what_is_good_and_nothing_else(shared: System) -> None:
    repository = Guarded.make(shared, "asked")
    repository.dirty()
    before, work = repository.tip, repository.work()
    bad = shared.quantum("merge", "bad", "--repo", str(repository.folder))
    print(f"\n{bad.out}{bad.err}")
    assert bad.code == 1 and repository.tip == before and repository.work() == work
    good = shared.quantum("merge", "good", "--repo", str(repository.folder), code=0)
    print(good.out)
    assert repository.tip != before and "good.txt" in os.listdir(repository.folder)
    assert repository.run("git", "merge-base", "--is-ancestor", "good", "HEAD").code == 0


def test_the_runbooks_own_steps_as_typed(shared: System) -> None:
    repository = Guarded.make(shared, "typed")
    listed = repository.run("ls", "-la", ".git/hooks/post-merge")
    assert listed.code == 0 and listed.said.startswith("-rwx"), listed
    tip = repository.tip
    by_hand = repository.run(".git/hooks/post-merge")
    assert by_hand.code == 0 and "nothing to check" in by_hand.said and repository.tip == tip, by_hand
    repository.merge("good")
    repository.git("reset", "-q", "--hard", "HEAD~1")
    by_hand = repository.run(".git/hooks/post-merge")
    assert by_hand.code == 0 and "nothing to check" in by_hand.said and repository.tip == tip, by_hand
    shared.quantum("hooks", "install", "typed", code=0)
    assert shared.quantum("hooks", "status", "typed", code=0).out.count("guarded") == 1


def test_a_test_that_does_harm_reaches_nothing_of_the_users(shared: System) -> None:
    repository = Guarded.make(shared, "harm")
    harm = (
        "git init -q . ; git commit -q --allow-empty -m x; git tag evil; git stash; git branch -f main HEAD~1\n"
        "git config user.name Mallory; git config --global user.name Mallory; git gc -q --prune=now\n"
        "git push -q origin :main\n"
        "echo harm > mine.txt; rm -rf .git/hooks; (sleep 120 &) ; exit 1\n"
    )
    repository.branch("evil", {"check.sh": harm})
    repository.dirty()
    before, work = repository.tip, repository.work()
    config = (repository.folder / ".git" / "config").read_bytes()
    branches = repository.git("for-each-ref", "refs/heads", "refs/tags", "refs/stash")
    repository.merge("evil")
    check = repository.ended()
    print(f"\n{check['verdict']}: {check['sentence']}")
    assert repository.tip == before and check["action"] == "rolled_back", check
    assert repository.work() == work
    assert (repository.folder / ".git" / "config").read_bytes() == config
    assert repository.git("for-each-ref", "refs/heads", "refs/tags", "refs/stash") == branches
    assert not (shared.folder / ".gitconfig").exists()
    left = of_agents(shared.root)
    kill(left)
    assert left == [], "its daemon ended with it"
