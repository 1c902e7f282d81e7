"""The machine fails: a full disk, a read-only repository, the user's merge or its hook killed half-way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.errors import Conflict
from merge_guard.arrival import read_arrival
from merge_guard.doctor import mend
from merge_guard.moving import STEPS
from merge_guard.rollback import roll_back
from merge_guard.values import Action, Arrival, Event, Nothing
from tests.merge_guard.building import CHECK, NOW, Repo, environment, make
from tests.merge_guard.judging import ROOT, act, judge, prove_mergeable
from tests.merge_guard.kinds import REFUSED, ROLLED_BACK
from tests.merge_guard.snapshot import Snapshot, take
from tests.programs import missing
from tests.waiting import eventually

FULL_AT = ("kept", *STEPS[: STEPS.index("committed")])
DISK_BYTES = 12 << 20
BIG_BYTES = 2 << 20


def mounted(*arguments: str) -> None:
    """Mount something, or skip where that is not allowed."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        missing(f"mount is not allowed here ({done.stderr.strip()}): run the tests as root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, left: int) -> None:
    """Fill it up to so many bytes."""
    room = os.statvfs(disk)
    (disk / "filler").write_bytes(b"\0" * max(0, room.f_bavail * room.f_frsize - left))


def big_merge(disk: Path, program: str) -> tuple[Repo, Snapshot]:
    """A merge that removes two big files and changes a third; returns the repository and what it was before."""
    chance = random.Random(5)
    repo = make(disk / "repo", program)
    repo.commit("Start", {name: chance.randbytes(BIG_BYTES // 2) for name in ("a.bin", "b.bin", "c.bin")})
    repo("switch", "--quiet", "--create", "topic")
    repo.commit("Topic", {"a.bin": None, "b.bin": None, "c.bin": "small now\n", "new.txt": "new\n"})
    repo("switch", "--quiet", "main")
    repo.write("mine.txt", "The user's\n")
    pristine = take(repo)
    repo("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    return repo, pristine


def test_full_disk(disk: Path, program: str) -> None:
    repo, pristine = big_merge(disk, program)
    before = take(repo)
    fill(disk, BIG_BYTES)
    acted = act(repo)
    assert acted.outcome == REFUSED and "disk is full" in acted.sentence
    judge(repo, acted, pristine)
    (disk / "filler").unlink()
    assert take(repo) == before
    acted = act(repo)
    assert acted.outcome == ROLLED_BACK, acted.sentence
    judge(repo, acted, pristine)


@pytest.mark.parametrize(
    ("at", "left"), [(step, 0) for step in FULL_AT] + [("recorded", 300_000), ("copied", 1_100_000)]
)
def test_the_disk_fills_on_the_way(disk: Path, program: str, at: str, left: int) -> None:
    repo, pristine = big_merge(disk, program)
    before = take(repo)
    arrival = read_arrival(repo.git, repo.repository, event=Event.POST_MERGE)
    assert isinstance(arrival, Arrival)
    done = roll_back(
        repo.git,
        repo.repository,
        arrival,
        check_id=CHECK,
        now=NOW,
        confirm=lambda: "",
        step=lambda name: fill(disk, left) if name == at else None,
    )
    (disk / "filler").unlink()
    mended = mend(repo.repository, git=repo.git)
    print(at, left, done.action, len(mended))
    after = take(repo)
    assert after.own == before.own
    if done.action is Action.ROLLED_BACK:
        assert (after.files, after.index, repo.tip()) == (pristine.files, pristine.index, arrival.old)
    else:
        assert (after.files, after.index, after.refs) == (before.files, before.index, before.refs)
        assert act(repo).outcome == ROLLED_BACK


@pytest.mark.parametrize("what", [".git", "the work tree"])
def test_read_only(base: Repo, what: str) -> None:
    base("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    before = take(base)
    git_dir, top = str(base.top / ".git"), str(base.top)
    with contextlib.ExitStack() as undone:
        mounted("--bind", top, top)
        undone.callback(subprocess.run, ["umount", "--lazy", top], check=True)
        mounted("--bind", git_dir, git_dir)
        undone.callback(subprocess.run, ["umount", "--lazy", git_dir], check=True)
        mounted("-o", "remount,ro,bind", git_dir if what == ".git" else top)
        acted = act(base)
    assert acted.outcome == REFUSED, acted.sentence
    assert take(base) == before
    judge(base, acted, before)


@pytest.mark.parametrize("victim", ["merge", "hook"])
def test_merge_or_hook_is_killed(base: Repo, victim: str) -> None:
    base.commit("Onward", {"onward.txt": "on\n"})
    pristine = take(base)
    hook = base.top / ".git/hooks/post-merge"
    hook.write_text(f"#!/bin/sh\nkill -9 {'$PPID' if victim == 'merge' else '$$'}\n")
    hook.chmod(0o755)
    base("merge", "--no-edit", "topic", ok=(0, -signal.SIGKILL))
    merging = (base.top / ".git/MERGE_HEAD").exists()
    assert merging == (victim == "merge")
    hook.unlink()
    acted = act(base)
    assert acted.outcome == ROLLED_BACK, acted.sentence
    judge(base, acted, pristine)
    prove_mergeable(base, acted, "topic")


def test_a_merge_that_was_killed_before_it_was_committed(base: Repo) -> None:
    base.commit("Onward", {"onward.txt": "on\n"})
    hook = base.top / ".git/hooks/pre-merge-commit"
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    hook.chmod(0o755)
    base("merge", "--no-edit", "topic", ok=(-signal.SIGKILL,))
    before = take(base)
    assert isinstance(read_arrival(base.git, base.repository, event=Event.RECONCILE), Nothing)
    assert take(base) == before


async def test_mend_waits_for_a_git_that_outlives_the_guard(tmp_path: Path, program: str) -> None:
    repo = make(tmp_path / "repo", program)
    gate, reached = tmp_path / "gate", tmp_path / "reached"
    repo.commit("Start", {".gitattributes": "*.slow filter=slow\n", "one.slow": "1\n"})
    repo("switch", "--quiet", "--create", "topic")
    repo.commit("Topic", {"one.slow": "2\n"})
    repo("switch", "--quiet", "main")
    repo("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    merged = take(repo)
    os.mkfifo(gate)
    # Only the switch itself stops at the gate: it is the one that writes `one.slow` with an index of the guard's own.
    stops = f"[ -e '{reached}' ] || {{ : > '{reached}'; timeout 60 head -n 1 '{gate}' >&2; }}"
    slow = f"case $GIT_INDEX_FILE in *-after) {stops};; esac; cat"
    (repo.top / ".git/info/attributes").write_text("*.slow filter=slow\n")
    repo("config", "filter.slow.smudge", slow)
    words = ("-m", "tests.merge_guard.killed", str(repo.top), program, "roll_back", "")
    guard = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT, env=environment(), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await eventually(reached.exists, "git is in the midst of the switch")
    finally:
        guard.kill()
        await guard.wait()
    with pytest.raises(Conflict):
        mend(repo.repository, git=repo.git)
    with gate.open("w") as file:
        file.write("go on\n")
    told = mend(repo.repository, git=repo.git, wait=True)
    assert len(told) == 1 and "was undone" in told[0]
    after = take(repo)
    assert (after.files, after.index, after.refs) == (merged.files, merged.index, merged.refs)
    assert act(repo).outcome == ROLLED_BACK
