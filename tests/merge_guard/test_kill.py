"""kill -9 of the guard and of git at each step: the repository is before or after, or `mend` makes it so."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from merge_guard.doctor import mend
from merge_guard.moving import STEPS
from tests.merge_guard.building import CHECK, Repo, environment
from tests.merge_guard.judging import ROOT, act, judge, prove_mergeable
from tests.merge_guard.killed import TOLD
from tests.merge_guard.kinds import DIRTS, MERGES, NOTHING, ROLLED_BACK
from tests.merge_guard.snapshot import Snapshot, take
from tests.programs import require

DIRT = ("edit elsewhere", "new file staged", "untracked and ignored elsewhere", "dirty submodule")


def arrived(repo: Repo, merge: str = "true") -> Repo:
    """Merge, with work of the user's about; git still has MERGE_HEAD, as inside its hook."""
    repo.commit("Onward", {"onward.txt": "on\n"})
    MERGES[merge].run(repo)
    for name in DIRT:
        DIRTS[name].make(repo)
    (repo.top / ".git/MERGE_HEAD").write_text(repo.tip("topic") + "\n")
    (repo.top / ".git/MERGE_MSG").write_text("Merge branch 'topic'\n")
    return repo


def run(repo: Repo, *arguments: str, program: str = "") -> subprocess.CompletedProcess[str]:
    """Make the move in a process of its own."""
    command = [sys.executable, "-m", "tests.merge_guard.killed", str(repo.top), program or repo.program, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)


def state(repo: Repo) -> tuple[object, ...]:
    """What makes the repository be before or after the move."""
    seen = take(repo)
    merging = (repo.top / ".git/MERGE_HEAD").exists()
    return seen.head, seen.files, seen.index, seen.refs, seen.own, repo.tip(), merging


class Ends:
    """A repository before the move, and what it is to be like after it."""

    def __init__(self, repo: Repo, tmp_path: Path) -> None:
        self.repo = arrived(repo)
        self.tmp_path = tmp_path
        self.before = state(self.repo)
        self.pristine = take(self.repo)
        twin = self.fresh("twin")
        assert act(twin).outcome == ROLLED_BACK
        self.after = state(twin)
        self.counts: Counter[str] = Counter()

    def fresh(self, name: str) -> Repo:
        """A copy as it is before the move."""
        return self.repo.copy(self.tmp_path / name)

    def judge(self, repo: Repo) -> str:
        """Mend, demand that it is before or after, that no lock is left, and that it can be moved again."""
        before_mending = state_or_none(repo)
        mend(repo.repository, git=repo.git, wait=True)
        found = state(repo)
        assert found in (self.before, self.after), difference(found, self.before, self.after)
        assert mend(repo.repository, git=repo.git) == []
        acted = act(repo)
        if found == self.before:
            assert acted.outcome == ROLLED_BACK, acted.sentence
            judge(repo, acted, self.pristine_of(acted.before))
            prove_mergeable(repo, acted, "topic")
        else:
            assert acted.outcome == NOTHING
        assert state_is_clean(repo)
        mended = "as it was" if before_mending == found else "mended"
        return f"{mended}, {'before' if found == self.before else 'after'}"

    def pristine_of(self, before: Snapshot) -> Snapshot:
        """What the merge touched is to be as after the move; compared whole in `after`."""
        _, files, index, refs, own = self.after[:5]
        return Snapshot(before.head, files, index, refs, before.commits, own)  # type: ignore[arg-type]


def state_or_none(repo: Repo) -> tuple[object, ...] | None:
    """The state, where it can be read at all."""
    try:
        return None if (repo.top / ".git/index.lock").exists() else state(repo)
    except AssertionError:
        return None


def state_is_clean(repo: Repo) -> bool:
    """No lock of git's, no copy, no record."""
    git_dir = repo.top / ".git"
    return not [*git_dir.glob("*.lock"), *git_dir.glob("refs/**/*.lock"), *git_dir.glob("quantum-*")] and {
        path.name for path in git_dir.glob("quantum/*")
    } <= {"lock"}


def difference(found: tuple[object, ...], *ends: tuple[object, ...]) -> str:
    """Which parts are as at neither end."""
    names = ("head", "files", "index", "refs", "own", "tip", "merging")
    lines = []
    for place, name in enumerate(names):
        matches = [found[place] == end[place] for end in ends]
        lines.append(f"{name}: {'before' if matches[0] else ''} {'after' if matches[1] else ''}")
    return "; ".join(lines)


@pytest.fixture
def ends(base: Repo, tmp_path: Path) -> Ends:
    return Ends(base, tmp_path)


@pytest.mark.parametrize("step", ["kept", *STEPS])
def test_the_guard_is_killed(ends: Ends, step: str) -> None:
    repo = ends.fresh("victim")
    assert run(repo, "roll_back", step).returncode == -signal.SIGKILL
    result = ends.judge(repo)
    print(step, result)
    assert result.endswith("after" if step in STEPS[STEPS.index("committed") :] else "before")


@pytest.mark.parametrize("step", STEPS)
def test_the_guard_is_killed_while_it_undoes(base: Repo, tmp_path: Path, step: str) -> None:
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    DIRTS["new file staged"].make(base)
    new, merged = base.tip(), state(base)
    assert act(base).outcome == ROLLED_BACK
    old, back = base.tip(), state(base)
    kept = base("for-each-ref", "--format=%(refname)", "refs/quantum/rollback")
    assert run(base, "undo", step, old, kept).returncode == -signal.SIGKILL
    mend(base.repository, git=base.git, wait=True)
    assert state(base) == (merged if base.tip() == new else back)
    assert state_is_clean(base)


def test_git_was_killed_while_the_guard_put_things_back(ends: Ends) -> None:
    repo = ends.fresh("victim")
    assert run(repo, "roll_back", "switched").returncode == -signal.SIGKILL
    (repo.top / f".git/quantum-{CHECK}-before.lock").write_bytes(b"half an index")
    assert ends.judge(repo) == "mended, before"


def test_a_person_took_the_lock_away(ends: Ends) -> None:
    repo = ends.fresh("victim")
    assert run(repo, "roll_back", "switched").returncode == -signal.SIGKILL
    (repo.top / ".git/index.lock").unlink()
    assert ends.judge(repo) == "mended, before"


def test_a_person_took_the_lock_away_and_went_on(ends: Ends) -> None:
    repo = ends.fresh("victim")
    assert run(repo, "roll_back", "switched").returncode == -signal.SIGKILL
    (repo.top / ".git/index.lock").unlink()
    repo.write("app.py", "On what the crash left\n")
    repo("commit", "--quiet", "--all", "-m", "Gone on")
    mine = take(repo)
    told = mend(repo.repository, git=repo.git)
    assert len(told) == 1 and "nothing is put back" in told[0]
    assert take(repo) == mine and state_is_clean(repo)


@pytest.mark.parametrize("path", ["app.py", "gone.txt", "feature/new.py", "docs/guide.md"])
def test_what_the_user_saves_after_the_crash_stays(ends: Ends, path: str) -> None:
    repo = ends.fresh("victim")
    assert run(repo, "roll_back", "switched").returncode == -signal.SIGKILL
    repo.write(path, "Saved after the crash\n")
    told = mend(repo.repository, git=repo.git)
    assert len(told) == 1 and "was undone" in told[0]
    head, files, index, refs, *rest = state(repo)
    assert isinstance(files, dict) and isinstance(ends.before[1], dict)
    assert files == {**ends.before[1], path: ("file", b"Saved after the crash\n")}
    assert (head, index, refs, *rest) == (ends.before[0], *ends.before[2:])


# What each command is known by, among all that the guard runs.
COMMANDS = {
    "switch": "read-tree -m -u",
    "refs": "update-ref --create-reflog -m",
    "refresh": "update-index -q --refresh",
    "keep": "update-ref --create-reflog refs/quantum/",
}
CALLS = "openat,unlink,unlinkat,rename,renameat2,link,symlink,mkdir,rmdir,write,close,read,fsync"


def deadly_git(wrapper: Path, real: str, command: str, call: int, *, both: bool) -> Path:
    """A git that is killed after so many system calls of one command; `both`: the guard with it.

    Returns the file that is there afterwards if the command had fewer calls and lived.
    """
    strace, lived = require("strace"), wrapper.with_suffix(".lived")
    wrapper.write_text(
        f"""#!/bin/sh
case " $* " in *" {COMMANDS[command]}"*) ;; *) exec {real} "$@" ;; esac
{strace} -qq -o "{lived}.trace" -e trace={CALLS} -e inject={CALLS}:signal=KILL:when={call} {real} "$@"
code=$?
if [ $code -eq 137 ]; then kill -9 {"$PPID" if both else ""} $$; fi
: > '{lived}'
exit $code
"""
    )
    wrapper.chmod(0o755)
    return lived


def kill_git(ends: Ends, command: str, stride: int) -> Counter[str]:
    """Kill git at its first call, at the one after the stride, …, until it lives; with the guard, and without."""
    counts: Counter[str] = Counter()
    for both in (False, True):
        for call in range(1, 10_000, stride):
            repo = ends.fresh(f"{command}-{call}-{both}")
            wrapper = ends.tmp_path / f"{repo.top.name}.git"
            lived = deadly_git(wrapper, repo.program, command, call, both=both)
            done = run(repo, "roll_back", "", program=str(wrapper))
            if lived.exists():
                assert f"{TOLD}rolled_back" in done.stdout
                break
            assert done.returncode == (-signal.SIGKILL if both else 0), done.stderr
            counts[ends.judge(repo)] += 1
            subprocess.run(["rm", "-rf", str(repo.top)], check=True)
    print(command, dict(counts))
    return counts


@pytest.mark.parametrize("command", COMMANDS)
def test_git_is_killed(ends: Ends, command: str) -> None:
    counts = kill_git(ends, command, stride=43)
    assert sum(counts.values()) >= 2


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", COMMANDS)
def test_git_is_killed_at_each_call(ends: Ends, command: str) -> None:
    counts = kill_git(ends, command, stride=1)
    assert sum(counts.values()) >= 40
    if command in ("switch", "refs"):
        assert counts["mended, before"] > 0, "no kill left anything to mend"
