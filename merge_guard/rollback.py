"""Takes a proven-bad merge back: the branch is where it was before, what came is kept under a ref of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from foundation.errors import QuantumError
from merge_guard.arrival import OWN_MESSAGE
from merge_guard.doctor import mend_held
from merge_guard.git import Git, GitFailed
from merge_guard.intent import Intent
from merge_guard.moving import NotMade, make_move, no_step, sentence_end
from merge_guard.pushed import pushed_to
from merge_guard.repository import hold, in_progress, merge_heads
from merge_guard.values import Action, Arrival, Outcome, Repository

KEPT_REFS = "refs/quantum/rollback/"


def roll_back(
    git: Git,
    repository: Repository,
    arrival: Arrival,
    *,
    check_id: str,
    now: datetime,
    confirm: Callable[[], str],
    step: Callable[[str], None] = no_step,
) -> Outcome:
    """Move HEAD's branch, index and work tree from `arrival.new` back to `arrival.old`, or refuse and change nothing.

    Refuses rather than touch a byte of the user's, or a branch that was pushed. Before it begins it ends what an
    earlier crash left. `confirm` is asked just before the move is prepared: empty to go on, else why not. `step` is
    called after each step (see `moving.STEPS`). `rolled_back` and `refused` are the two actions; it raises nothing
    for what a repository may bring.
    """
    try:
        with hold(repository) as lock:
            git = git.at(repository.top).keeping(lock)
            mend_held(repository, git)
            kept_ref, remark = _roll_back_held(git, repository, arrival, check_id, now, confirm, step)
    except (NotMade, QuantumError, OSError) as error:
        return Outcome(action=Action.REFUSED, sentence=f"It is not taken back: {sentence_end(error)}.")
    told = [
        f"Rolled back: {arrival.branch or 'HEAD'} is at {arrival.old[:12]} again",
        f"what came is kept in {kept_ref}",
    ]
    sentence = f"{'; '.join([*told, *filter(None, [remark])])}."
    return Outcome(action=Action.ROLLED_BACK, sentence=sentence, kept_ref=kept_ref)


def _roll_back_held(
    git: Git,
    repository: Repository,
    arrival: Arrival,
    check_id: str,
    now: datetime,
    confirm: Callable[[], str],
    step: Callable[[str], None],
) -> tuple[str, str]:
    if under_way := in_progress(repository):
        raise NotMade(f"git is in the midst of {under_way}")
    heads = merge_heads(repository)
    parents = git.text("rev-list", "--parents", "--max-count=1", arrival.new).split()[1:]
    if any(head not in parents for head in heads):
        raise NotMade("another merge is under way in the work tree")
    if not git.is_ancestor(arrival.old, arrival.new):
        raise NotMade("the commit before it is not part of it")
    if remote := pushed_to(git, arrival):
        raise NotMade(f"it was pushed to {remote}, where others may have it; a revert can be proposed")
    kept_ref = _keep(git, arrival.new, now)
    step("kept")
    intent = Intent(
        check=check_id,
        what="rollback",
        top=str(repository.top),
        git_dir=str(repository.git_dir),
        branch=arrival.branch,
        source=arrival.new,
        target=arrival.old,
        merge_heads=heads,
    )
    message = f"{OWN_MESSAGE}rolled back {arrival.new[:12]} (check {check_id})"
    return kept_ref, make_move(git, repository, intent, message=message, confirm=confirm, step=step)


def _keep(git: Git, commit: str, now: datetime) -> str:
    """Create a ref that holds a commit and never moves; returns its name, that of an earlier try if there is one."""
    held = git.text("for-each-ref", "--format=%(refname)", f"--points-at={commit}", KEPT_REFS.rstrip("/"))
    if held:
        return held.split("\n")[0]
    name = f"{KEPT_REFS}{now:%Y%m%dT%H%M%SZ}-{commit[:12]}"
    done = git.run("update-ref", "--create-reflog", name, commit, "0" * len(commit))
    if done.exit_code != 0:
        raise GitFailed("update-ref", done.exit_code, done.said)
    return name
