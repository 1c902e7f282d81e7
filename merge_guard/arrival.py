"""Reads from the repository itself what has just come by a merge or a pull, if anything has."""

from __future__ import annotations

import os
import re

from merge_guard.git import Git
from merge_guard.repository import current_branch, in_progress, merge_heads
from merge_guard.values import Arrival, Event, Kind, Nothing, Repository

# How git itself writes in HEAD's reflog that a merge or a pull moved it. `pull --rebase (finish): …` is a rebase.
_BY_MERGE = re.compile(r"(merge|pull)\b(?!.*\([a-z]+\): )|commit \(merge\)")
OWN_MESSAGE = "quantum: "
"""How our own entries in a reflog begin."""
_LOOK_BACK_NEWEST = 8
_LOOK_BACK = 256


def read_arrival(
    git: Git, repository: Repository, *, event: Event, old_hint: str = "", new_hint: str = ""
) -> Arrival | Nothing:
    """Return what came, or why there is nothing to check, as a sentence.

    The hints are what a hook saw (hex names or empty): they are never believed. Where there are commits on top of it by
    now, what came is tested all the same, and nobody will move HEAD; where HEAD has left it, nothing is to be checked.
    `old` is the previous tip by HEAD's reflog and an ancestor of `new`. It is a true merge if `old` is its first
    parent, else a fast-forward: git makes an octopus of what it can forward to without naming `old`. A merge that
    stands uncommitted is none yet, a squashed one is none at all.
    """
    new = head = git.commit_of("HEAD")
    if not head:
        return Nothing(reason="The branch has no commit yet.")
    if new_hint and new_hint != head:
        new = git.commit_of(new_hint)
        if not new or not git.is_ancestor(new, head):
            return Nothing(reason=f"HEAD has left {new_hint[:12]} since the check was asked for.")
    if under_way := in_progress(repository):
        return Nothing(reason=f"git is in the midst of {under_way}.")
    if event is Event.POST_MERGE and os.path.lexists(repository.git_dir / "SQUASH_MSG"):
        return Nothing(reason="The merge was squashed: nothing is committed yet.")
    parents = git.text("rev-list", "--parents", "--max-count=1", new).split()[1:]
    if any(head not in parents for head in merge_heads(repository)):
        return Nothing(reason="A merge is under way that is not committed yet.")
    old, message = _move_to(git, new, newest=new == head)
    if not _BY_MERGE.match(message):
        return Nothing(reason=f"HEAD was moved there by no merge or pull, but by “{message or 'nothing known'}”.")
    if not old or old == new:
        return Nothing(reason="There was no commit before it, or the same one.")
    if old_hint and old_hint != old:
        return Nothing(reason=f"HEAD was at {old[:12]} before, not at {old_hint[:12]}.")
    if not git.is_ancestor(old, new):
        return Nothing(reason="The branch was rewritten: it does not hold any more what it held before.")
    return Arrival(
        old=old,
        new=new,
        kind=Kind.MERGE if len(parents) > 1 and parents[0] == old else Kind.FAST_FORWARD,
        branch=current_branch(git),
        pulled=message.startswith("pull"),
        commits=int(git.text("rev-list", "--count", "--first-parent", f"{old}..{new}")),
    )


def _move_to(git: Git, new: str, *, newest: bool) -> tuple[str, str]:
    """Where HEAD was before it moved to `new`, and the reflog's message about that move; both empty if none is known.

    `newest`: only if that was its newest move.
    """
    limit = _LOOK_BACK_NEWEST if newest else _LOOK_BACK
    done = git.run("log", "--walk-reflogs", f"--max-count={limit}", "--format=%H%x00%gs", "HEAD", "--")
    entries = [line.partition("\0")[::2] for line in done.out.decode(errors="replace").splitlines()]
    for back, (at, said) in enumerate(entries):
        if at == new:
            return git.commit_of(f"HEAD@{{{back + 1}}}"), said
        # A git that is killed may have written down a move of ours that it did not make any more.
        if newest and not said.startswith(OWN_MESSAGE):
            break
    return "", ""
