"""A smoke test may do what it likes: the user's repository is untouched, byte for byte. With the control."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.clock import SystemClock
from merge_guard.attending import Order, Surroundings, attend
from merge_guard.evidence import document
from merge_guard.running import run_once
from merge_guard.values import Event
from tests.merge_guard.sample import Sample

# Everything that a test has been seen to do to the repository in which it ran, and a daemon.
VANDAL = """\
set -x
echo vandal >>a.txt; echo new >new.txt; rm -f c.txt
git add --all && git commit --quiet --message vandal
git tag vandal
echo more >>a.txt; git stash
git config vandal.was here
git config --global vandal.was here
git branch -f main HEAD~1; git branch vandal
git update-ref -d refs/heads/topic; git update-ref refs/quantum/vandal HEAD
git checkout --quiet -B elsewhere
git reset --quiet --hard HEAD~2
git reflog expire --expire=now --all
git gc --quiet --prune=now --aggressive
git push --force origin HEAD:main
git worktree add --quiet ../vandal HEAD
git submodule deinit --all --force
(git init inner && cd inner && git commit --quiet --allow-empty --message inner)
(mkdir empty && cd empty && git init && git commit --quiet --allow-empty --message empty)
rm -rf .git && git init && git add --all && git commit --quiet --message again
(cd .. && git add --all; git commit --quiet --allow-empty --message above)
python3 "$DAEMON" pid || exit 1
echo the end
exit 0
"""
DAEMON = """\
import os, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1] + ".part", "w").write(str(os.getpid()))
        os.rename(sys.argv[1] + ".part", sys.argv[1])
        os.environ.clear()
        time.sleep(600)
        subprocess.run(["git", "commit", "--allow-empty", "--message", "late"])
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
os.rename(sys.argv[1], os.environ["PIDFILE"])
"""
FILES = {
    "quantum.toml": "[merge]\nsmoke = ['sh', 'smoke.sh']\ntimeout = '60s'\n",
    "smoke.sh": VANDAL,
    "a.txt": "a\n",
    "c.txt": "c\n",
}


def users(tmp_path: Path) -> Sample:
    """A repository after a merge, with work of every sort in it and things that only a reflog or a stash holds."""
    sample = Sample(tmp_path / "user" / "project")
    sample.commit(FILES)
    sample.commit({"a.txt": "dropped\n"})
    sample.run("reset", "--quiet", "--hard", "HEAD~1")
    sample.write({"a.txt": "stashed\n"})
    sample.run("stash")
    sample.run("switch", "--quiet", "--create", "topic")
    sample.commit({"b.txt": "b\n"})
    sample.run("switch", "--quiet", "main")
    sample.run("tag", "v1")
    sample.run("config", "user.name", "Ada L.")
    sample.run("merge", "--quiet", "--no-edit", "--no-ff", "topic")
    sample.write({"a.txt": "being edited\n", "staged.txt": "staged\n", "untracked.txt": "untracked\n"})
    sample.run("add", "staged.txt")
    return sample


def at_home(sample: Sample) -> dict[str, bytes]:
    """What lies in the user's home beside the repository: git's global settings."""
    return {path.name: path.read_bytes() for path in sample.folder.parent.iterdir() if path.is_file()}


def daemon(tmp_path: Path) -> dict[str, str]:
    """Where the test finds the daemon that it starts, and where that writes its pid."""
    (tmp_path / "daemon.py").write_text(DAEMON)
    return {"DAEMON": str(tmp_path / "daemon.py"), "PIDFILE": str(tmp_path / "pid")}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_vandal_of_a_test_reaches_nothing_of_the_users(tmp_path: Path) -> None:
    sample = users(tmp_path)
    # The work folder lies within the repository, as it does where the workspace is one.
    work = sample.folder / ".quantum" / "work"
    work.mkdir(parents=True)
    before, home = sample.everything(), at_home(sample)
    environment = {**sample.environment, **daemon(tmp_path)}
    around = Surroundings(sample.git, work, environment, SystemClock(), lambda old, new: "", lambda line: None)
    order = Order(check="c1", repository="r1", folder=str(sample.folder), event=Event.POST_MERGE)
    found = document(attend(order, around))
    assert (found["verdict"], found["action"]) == ("good", "none"), found
    # It did run to its end, and what it did it did.
    (run,) = found["runs"]
    assert run["tail"].endswith("the end\n+ exit 0\n") and run["exit_code"] == 0, run["tail"]
    assert not alive(int((tmp_path / "pid").read_text()))
    assert sample.everything() == before
    assert at_home(sample) == home
    assert sample.run("fsck", "--no-progress", "--no-dangling") == ""


def test_control_in_a_linked_work_tree_it_destroys(tmp_path: Path) -> None:
    """What a hook does that tests `new` in a linked work tree, with the environment that git gives it."""
    sample = users(tmp_path)
    before, home = sample.everything(), at_home(sample)
    sample.run("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked" / "tree"))
    environment = {**sample.environment, **daemon(tmp_path)}
    ran = run_once(
        ["sh", "smoke.sh"], tmp_path / "linked" / "tree", environment, timeout_seconds=60, clock=SystemClock()
    )
    after = sample.everything()
    damaged = [path for path in before if after.get(path) != before[path]]
    refs = {name for name in damaged if "/refs/" in name or name.endswith("packed-refs")}
    lost = {name for name in damaged if "/objects/" in name and name not in after}
    print(f"\nin a linked work tree: {len(damaged)} files changed or gone, {len(lost)} of them objects")
    print(f"refs: {sorted(refs)}")
    assert ran.exit_code == 0 and ".git/config" in damaged and refs and lost and at_home(sample) != home
    # The user's branch, stash and topic.
    assert ".git/refs/heads/main" in damaged and ".git/refs/heads/topic" in damaged


def mounted(folder: Path, size: str) -> bool:
    """Mount a small file system of its own on a folder, where that is allowed."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    return subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False).returncode == 0


@pytest.mark.parametrize("fills", ["always", "since the merge"])
def test_a_test_that_fills_the_disk_of_its_work_folder(tmp_path: Path, fills: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    if not mounted(work, "8m"):
        pytest.skip("mounting a small file system needs root on Linux")
    try:
        filling = "cat /dev/zero >full; test $? -eq 0\n"
        sample = Sample(tmp_path / "user" / "project")
        sample.commit({**FILES, "smoke.sh": filling if fills == "always" else "true\n"})
        sample.commit({"smoke.sh": filling, "b.txt": "b\n"})
        sample.run("branch", "topic")
        sample.run("reset", "--quiet", "--hard", "HEAD~1")
        sample.run("merge", "--quiet", "topic")
        before = sample.everything()
        around = Surroundings(
            sample.git, work, sample.environment, SystemClock(), lambda old, new: "No.", lambda line: None
        )
        order = Order(check="c1", repository="r1", folder=str(sample.folder), event=Event.POST_MERGE)
        found = document(attend(order, around))
        assert "No space left" in found["runs"][0]["tail"]
        # What one run has written is gone before the next, and the check comes to an end.
        assert found["verdict"] == ("pre_existing" if fills == "always" else "bad"), found
        assert len([run for run in found["runs"] if run["on"] == "new"]) == (1 if fills == "always" else 5)
        after = {path: text for path, text in sample.everything().items() if "/refs/quantum/" not in path}
        assert {k: v for k, v in after.items() if k in before} == before
        assert list(work.iterdir()) == []
    finally:
        subprocess.run(["umount", work], check=True)
