"""Lets the guard act on a repository and demands that nothing of the user's was lost, whatever it did."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from merge_guard.arrival import read_arrival
from merge_guard.rollback import roll_back
from merge_guard.values import Action, Event, Nothing, Outcome
from tests.merge_guard.building import CHECK, NOW, Repo
from tests.merge_guard.kinds import NOTHING, REFUSED, ROLLED_BACK
from tests.merge_guard.snapshot import Snapshot, take

ROOT = Path(__file__).resolve().parents[2]
RollBack = Callable[..., Outcome]


@dataclass(frozen=True)
class Acted:
    """What the guard did, and the repository just before."""

    outcome: str
    sentence: str
    old: str
    new: str
    before: Snapshot
    merged: Snapshot | None = None
    """As git left it after the merge, before the user did anything."""


def act(
    repo: Repo, event: str = "post-merge", *, merged: Snapshot | None = None, rolling_back: RollBack = roll_back
) -> Acted:
    """Read what came and take it back, as after a verdict `bad`."""
    before = take(repo)
    arrival = read_arrival(repo.git, repo.repository, event=Event(event or "reconcile"))
    if isinstance(arrival, Nothing):
        return Acted(NOTHING, arrival.reason, "", "", before, merged)
    done = rolling_back(repo.git, repo.repository, arrival, check_id=CHECK, now=NOW, confirm=lambda: "")
    outcome = {Action.ROLLED_BACK: ROLLED_BACK, Action.REFUSED: REFUSED}[done.action]
    return Acted(outcome, done.sentence, arrival.old, arrival.new, before, merged)


def judge(repo: Repo, acted: Acted, pristine: Snapshot) -> None:
    """Demand what must hold after the guard has acted.

    `pristine` is the repository before the merge: what the merge touched must be as there after a rollback, and
    everything else as just before the guard acted. After anything else, everything is as just before.
    """
    before, after = acted.before, take(repo)
    lost = before.commits - _reachable(repo)
    assert not lost, f"commits that nothing reaches: {lost}"
    assert after.own == before.own and after.head == before.head
    assert not _left_behind(repo)
    if acted.outcome != ROLLED_BACK:
        assert after.files == before.files
        assert after.index == before.index
        assert after.refs == before.refs
        return
    assert repo.tip() == acted.old
    touched = _changed(repo, acted.old, acted.new)
    _judge_part(touched, after.files, before.files, pristine.files, acted.merged.files if acted.merged else None)
    _judge_part(
        touched, _by_path(after), _by_path(before), _by_path(pristine), _by_path(acted.merged) if acted.merged else None
    )
    branch = after.head or "HEAD"
    assert {**before.refs, branch: acted.old} == {**after.refs, branch: acted.old}


def _judge_part(
    touched: set[str],
    after: Mapping[str, object],
    before: Mapping[str, object],
    pristine: Mapping[str, object],
    merged: Mapping[str, object] | None,
) -> None:
    """Demand of files, or of index entries, what must hold after a rollback; `touched` is what the merge touched."""
    assert {path: after.get(path) for path in touched} == {path: pristine.get(path) for path in touched}
    others = {path: entry for path, entry in before.items() if path not in touched}
    assert {path: entry for path, entry in after.items() if path not in touched} == others
    if merged is not None:
        # What is gone was the merge's alone.
        assert {path: before.get(path) for path in touched} == {path: merged.get(path) for path in touched}


def prove_mergeable(repo: Repo, acted: Acted, brings: str) -> None:
    """Demand that the next commit has one parent, and that merging the topic again brings it again."""
    assert not any(
        (repo.top / repo("rev-parse", "--git-path", name)).exists()
        for name in ("MERGE_HEAD", "MERGE_MODE", "MERGE_MSG")
    )
    repo("commit", "--quiet", "--allow-empty", "-m", "Next")
    assert repo.parents() == [acted.old]
    clone = repo.top.parent / f"{repo.top.name}-again"
    repo("worktree", "add", "--quiet", "--detach", str(clone), acted.old)
    again = Repo(clone, repo.program)
    try:
        again("-c", "core.hooksPath=/dev/null", "merge", "--no-edit", "-X", "theirs", brings)
        if again("rev-parse", "HEAD^{tree}") != again("rev-parse", f"{acted.new}^{{tree}}"):
            # Several came together, or the user resolved a clash: what the one topic does must be there.
            brought = _changed(again, acted.old, "HEAD")
            expected = _changed(again, again("merge-base", acted.old, brings), brings)
            assert expected and expected <= brought
    finally:
        repo("worktree", "remove", "--force", str(clone))


def _changed(repo: Repo, one: str, other: str) -> set[str]:
    return set(repo("diff", "--name-only", "--no-renames", "-z", one, other).split("\0")) - {""}


def inside_hook(repo: Repo, hook: str, dirt: str) -> Callable[[], Acted]:
    """Install a hook that dirties the tree and acts; what it did is read when git has ended."""
    result = repo.top.parent / f"{repo.top.name}.result"
    program = repo.top / ".git" / "hooks" / hook
    command = [sys.executable, "-m", "tests.merge_guard.in_hook", hook, dirt, str(result), repo.program]
    words = " ".join(f"'{word}'" for word in command)
    program.write_text(f'#!/bin/sh\nTOP=$(pwd); export TOP; cd "{ROOT}" && exec {words}\n')
    program.chmod(0o755)

    def read() -> Acted:
        acted = pickle.loads(result.read_bytes())
        assert isinstance(acted, Acted)
        return acted

    return read


def _by_path(snapshot: Snapshot) -> dict[str, str]:
    return {name.rpartition(":")[0]: entry for name, entry in snapshot.index.items()}


def _reachable(repo: Repo) -> set[str]:
    return set(repo("rev-list", "--all", "HEAD", ok=(0, 128)).split())


def _left_behind(repo: Repo) -> list[str]:
    """Locks, copies and records that should be gone."""
    git_dir = repo.top / repo("rev-parse", "--git-common-dir")
    found = [*git_dir.glob("*.lock"), *git_dir.glob("refs/**/*.lock"), *git_dir.glob("quantum-*")]
    found += [*git_dir.glob("worktrees/*/*.lock"), *git_dir.glob("worktrees/*/quantum-*")]
    found += [path for path in git_dir.glob("quantum/*") if path.name != "lock"]
    return [str(path) for path in found]
