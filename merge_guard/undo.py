"""Brings back what a rollback took away."""

from __future__ import annotations

from collections.abc import Callable

from foundation.errors import QuantumError
from merge_guard.arrival import OWN_MESSAGE
from merge_guard.doctor import mend_held
from merge_guard.git import Git
from merge_guard.intent import Intent
from merge_guard.moving import NotMade, make_move, no_step, sentence_end
from merge_guard.repository import current_branch, hold, in_progress, merge_heads
from merge_guard.values import Action, Outcome, Repository


def undo(
    git: Git,
    repository: Repository,
    *,
    branch: str,
    old: str,
    kept_ref: str,
    check_id: str,
    step: Callable[[str], None] = no_step,
) -> Outcome:
    """Move the branch from `old`, where a rollback left it, to what `kept_ref` holds, with index and work tree.

    `merged`, or `refused` with nothing changed and a sentence that says what to type instead, where the branch has
    gone on since, another one is checked out, or it would touch the user's work. The kept ref stays.
    """
    try:
        with hold(repository) as lock:
            git = git.at(repository.top).keeping(lock)
            mend_held(repository, git)
            new = _demand_as_left(git, repository, branch, old, kept_ref)
            intent = Intent(
                check=check_id,
                what="undo",
                top=str(repository.top),
                git_dir=str(repository.git_dir),
                branch=branch,
                source=old,
                target=new,
            )
            message = f"{OWN_MESSAGE}brought back {new[:12]} (check {check_id})"
            remark = make_move(git, repository, intent, message=message, confirm=lambda: "", step=step)
    except (NotMade, QuantumError, OSError) as error:
        reason = sentence_end(error)
        return Outcome(action=Action.REFUSED, sentence=f"It is not brought back: {reason}.", kept_ref=kept_ref)
    told = "; ".join(filter(None, [f"{branch or 'HEAD'} is at {new[:12]} again, as before", remark]))
    return Outcome(action=Action.MERGED, sentence=f"{told}.", kept_ref=kept_ref)


def _demand_as_left(git: Git, repository: Repository, branch: str, old: str, kept_ref: str) -> str:
    """Return the commit that is kept; raise NotMade unless everything is as the rollback left it."""
    new = git.commit_of(kept_ref)
    if not new:
        raise NotMade(f"{kept_ref} is not there any more")
    if under_way := in_progress(repository) or ("a merge" if merge_heads(repository) else ""):
        raise NotMade(f"git is in the midst of {under_way}")
    if current_branch(git) != branch:
        raise NotMade(f"another branch is checked out; type `git switch {branch or '--detach ' + old[:12]}` first")
    if git.commit_of("HEAD") != old:
        raise NotMade(f"{branch or 'HEAD'} has gone on since; type `git merge {kept_ref}` to merge it in")
    if not git.is_ancestor(old, new):
        raise NotMade(f"{kept_ref} does not stem from {old[:12]}")
    return new
