"""Lets a merge in that was made and tested in a scratch clone: the branch is moved there only if it has not moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from foundation.errors import QuantumError
from merge_guard.arrival import OWN_MESSAGE
from merge_guard.doctor import mend_held
from merge_guard.git import Git
from merge_guard.intent import Intent
from merge_guard.moving import NotMade, make_move, no_step, sentence_end
from merge_guard.repository import hold, in_progress, merge_heads
from merge_guard.values import Action, Outcome, Repository


def enter(
    git: Git,
    repository: Repository,
    *,
    scratch: Path,
    candidate: str,
    topic: str,
    branch: str,
    old: str,
    check_id: str,
    confirm: Callable[[], str],
    step: Callable[[str], None] = no_step,
) -> Outcome:
    """Bring `candidate`, the hex name of a commit in the clone at `scratch`, and move HEAD's branch to it from `old`.

    Work tree and index go with it. `merged`, or `refused` with nothing changed: the branch has moved, another one is
    checked out, or it would touch the user's work. The only trace of a refusal are objects that nothing names.
    """
    try:
        with hold(repository) as lock:
            git = git.at(repository.top).keeping(lock)
            mend_held(repository, git)
            if under_way := in_progress(repository) or ("a merge" if merge_heads(repository) else ""):
                raise NotMade(f"git is in the midst of {under_way}")
            silent = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
            git.output("fetch", *silent, str(scratch), candidate)
            if not git.is_ancestor(old, candidate):
                raise NotMade("what was tested does not stem from where the branch was")
            intent = Intent(
                check=check_id,
                what="enter",
                top=str(repository.top),
                git_dir=str(repository.git_dir),
                branch=branch,
                source=old,
                target=candidate,
            )
            message = f"{OWN_MESSAGE}merge {topic}: tested before (check {check_id})"
            remark = make_move(git, repository, intent, message=message, confirm=confirm, step=step)
    except (NotMade, QuantumError, OSError) as error:
        return Outcome(action=Action.REFUSED, sentence=f"{topic} is not merged: {sentence_end(error)}.")
    told = "; ".join(filter(None, [f"{topic} is merged: {branch or 'HEAD'} is at {candidate[:12]}", remark]))
    return Outcome(action=Action.MERGED, sentence=f"{told}.")
