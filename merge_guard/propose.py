"""Prepares a branch that is without what a merge brought, or without its culprit; never pushes, never merges it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from foundation.errors import Unsupported
from merge_guard.git import Git, GitFailed
from merge_guard.values import Action, Arrival, Outcome

# Where the user has not told git a name; the committer must be somebody.
_SOMEBODY = {"NAME": "Quantum", "EMAIL": "quantum@localhost"}


def propose_revert(git: Git, arrival: Arrival, *, now: datetime, test: Callable[[str], str]) -> Outcome:
    """Prepare `quantum/revert-<short>`: the branch as it is now, and a commit on it that takes all back that came.

    `test` gets that commit's hex name before there is a branch of it and returns empty if it is good, else why not.
    `proposed`, or `refused`, also where what was committed since then clashes. Work tree and index are not touched.
    """
    tip = _tip(git, arrival)
    subject = git.text("show", "--no-patch", "--format=%s", arrival.new)
    message = (
        f'Revert "{subject}"\n\nTakes back everything between {arrival.old} and\n{arrival.new}: its smoke test fails.\n'
    )
    return _propose(git, f"quantum/revert-{arrival.new[:12]}", tip, arrival.new, arrival.old, message, now, test)


def propose_without(git: Git, arrival: Arrival, culprit: str, *, now: datetime, test: Callable[[str], str]) -> Outcome:
    """Prepare `quantum/without-<short>`: the branch as it is now, and a commit on it that takes the culprit back.

    As `propose_revert`. What came beside the culprit stays; a culprit that is a merge is taken back as a whole.
    """
    tip = _tip(git, arrival)
    subject = git.text("show", "--no-patch", "--format=%s", culprit)
    message = f'Revert "{subject}"\n\nThis reverts commit {culprit}:\nthe smoke test fails since then.\n'
    return _propose(git, f"quantum/without-{culprit[:12]}", tip, culprit, f"{culprit}^1", message, now, test)


def _tip(git: Git, arrival: Arrival) -> str:
    """Where the branch is now, if it still holds what came; else what came."""
    tip = git.commit_of(f"refs/heads/{arrival.branch}" if arrival.branch else "HEAD")
    return tip if tip and git.is_ancestor(arrival.new, tip) else arrival.new


def _propose(
    git: Git, name: str, tip: str, bad: str, good: str, message: str, now: datetime, test: Callable[[str], str]
) -> Outcome:
    tree = _reverted(git, tip, bad, good, now)
    if not tree:
        sentence = f"No {name} is proposed: what came later changes the same lines, so the revert is yours to make."
        return Outcome(action=Action.REFUSED, sentence=sentence)
    commit = _commit(git, tree, tip, message, now)
    if reason := test(commit):
        return Outcome(action=Action.REFUSED, sentence=f"No {name} is proposed: {reason}.")
    name = _create_branch(git, name, commit)
    sentence = f"The branch {name} is without it, and its test is green there: `git merge {name}` takes it away."
    return Outcome(action=Action.PROPOSED, sentence=sentence, proposal=name)


def _reverted(git: Git, tip: str, bad: str, good: str, now: datetime) -> str:
    """The tree of `tip` with the way from `good` to `bad` taken back; empty when that clashes with what came later."""
    tree = git.text("rev-parse", f"{good}^{{tree}}")
    if tip == bad:
        return tree
    # A commit on top of `bad` that is as `good`, merged with `tip`: the merge's base is `bad`, so it is the revert.
    backwards = _commit(git, tree, bad, "backwards", now)
    done = git.run("merge-tree", "--write-tree", "--no-messages", tip, backwards)
    if done.exit_code not in (0, 1):
        if "usage:" in done.said:
            raise Unsupported("git_too_old", "Proposals need git 2.38 or newer.", remedy="Install a newer git.")
        raise GitFailed("merge-tree", done.exit_code, done.said)
    return done.out.decode().split("\n")[0] if done.exit_code == 0 else ""


def _commit(git: Git, tree: str, parent: str, message: str, now: datetime) -> str:
    """Write a commit by the user, or by Quantum where git does not know the user; the same input, the same name."""
    extra = {f"GIT_{who}_DATE": f"{int(now.timestamp())} +0000" for who in ("AUTHOR", "COMMITTER")}
    for who in ("AUTHOR", "COMMITTER"):
        if not git.succeeds("var", f"GIT_{who}_IDENT"):
            extra |= {f"GIT_{who}_{part}": value for part, value in _SOMEBODY.items()}
    done = git.run("commit-tree", tree, "-p", parent, "-F", "-", stdin=message.encode("utf-8", "replace"), extra=extra)
    if done.exit_code != 0:
        raise GitFailed("commit-tree", done.exit_code, done.said)
    return done.out.decode().strip()


def _create_branch(git: Git, name: str, commit: str) -> str:
    """Create the branch; where one of that name holds something else, with a number behind it."""
    number = 1
    while True:
        wanted = name if number == 1 else f"{name}-{number}"
        there = git.commit_of(f"refs/heads/{wanted}")
        if there and _made_of(git, there) == _made_of(git, commit):
            return wanted  # An earlier try got as far.
        if not there:
            git.output(
                "update-ref",
                "--create-reflog",
                "-m",
                "quantum: proposed",
                f"refs/heads/{wanted}",
                commit,
                "0" * len(commit),
            )
            return wanted
        number += 1


def _made_of(git: Git, commit: str) -> str:
    """A commit's tree and parents, whoever made it and when."""
    return git.text("show", "--no-patch", "--format=%T %P", commit)
