"""Moves HEAD's branch, the index and the work tree from one commit to another: all of it or nothing.

The index is locked first, as git locks it, so that no other git changes it meanwhile; git switches the work tree with
a copy of it. The ref transaction is prepared before, and committed after: that is the moment at which the move is
made. Everything before it can be undone (`restoring`), nothing but cleaning is left after it (`doctor`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from foundation.errors import QuantumError
from foundation.files import sync
from merge_guard.git import Git, GitFailed
from merge_guard.intent import Intent, read_intents, remove_intent, write_intent
from merge_guard.locks import drop_index_lock, holds_index_lock, left_ref_locks, mark, ref_locks, take_index_lock
from merge_guard.names import drop_names, hold_names, rescue, saved_meanwhile
from merge_guard.repository import current_branch, elsewhere, merge_heads
from merge_guard.restoring import put_back
from merge_guard.touching import Change, bytes_needed, changes_between, hindrances, in_words, show
from merge_guard.values import Repository

STEPS = (
    "intent",
    "locked",
    "copied",
    "prepared",
    "recorded",
    "switched",
    "indexed",
    "committed",
    "cleared",
    "forgotten",
)
"""What `step` is called with, each after it is done; a test kills at each."""
# A switch of a work tree may be of gigabytes.
_SWITCH_SECONDS = 1800.0
# What a file takes beside its bytes, and the two copies of the index.
_SLACK_BYTES = 1 << 20


class NotMade(Exception):
    """The move was not made, nothing has changed; the text is the reason, the end of a sentence without full stop."""


def no_step(name: str) -> None:
    """What is called after each step, in earnest."""


def make_move(
    git: Git,
    repository: Repository,
    intent: Intent,
    *,
    message: str,
    confirm: Callable[[], str],
    step: Callable[[str], None] = no_step,
) -> str:
    """Make the move of an intent while the guard's lock is held; HEAD must be at `source`.

    `message` goes to the reflogs. `confirm` is asked last of all before anything is locked. Raises NotMade, with
    everything as it was; where even that fails (a full disk) the intent stays, for `doctor`. Returns what a person
    should know of a move that is made, as the end of a sentence; empty: nothing.
    """
    changes = changes_between(git, intent.source, intent.target)
    _demand_free(git, repository, intent, changes)
    if reason := confirm():
        raise NotMade(reason)
    try:
        write_intent(repository, intent)
    except OSError as error:
        raise NotMade(f"the repository cannot be written to: {sentence_end(error)}") from error
    step("intent")
    try:
        _locked_move(git, repository, intent, changes, message, step)
        step("committed")
    except (QuantumError, OSError, NotMade) as error:
        reason = sentence_end(error)
        try:
            # With the locks that were recorded. A git that was killed may have made the move and not have said so.
            recorded = [one for one in read_intents(repository) if one.check == intent.check]
            settled = settle(git, repository, recorded[0] if recorded else intent)
        except (QuantumError, OSError) as worse:
            reason += f"; it could not be undone either ({sentence_end(worse)}): `quantum merge doctor` does it"
            raise NotMade(reason) from error
        if not settled.made:
            raise NotMade("; ".join([reason, *settled.remarks])) from error
    else:
        settled = _finished(git, repository, intent, changes, step)
    return "; ".join(settled.remarks)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a move that was left half-made: it is whole, or it is as if it had never begun."""

    made: bool
    remarks: tuple[str, ...] = ()
    """What a person should know: each the end of a sentence."""


def settle(git: Git, repository: Repository, intent: Intent) -> Settled:
    """Finish a move whose ref has moved; undo one whose ref has not; call while the guard's lock is held.

    No git of ours runs any more then. Can be repeated. Raises GitFailed and OSError where it cannot be ended now (a
    full disk); nothing is lost.
    """
    ours, doubtful = left_ref_locks(intent, repository)
    for path in ours:
        path.unlink(missing_ok=True)
    at_home = current_branch(git) == intent.branch
    head = git.commit_of("HEAD")
    if at_home and head == intent.target:
        return _finished(git, repository, intent, changes_between(git, intent.source, intent.target), no_step)
    remarks: list[str] = []
    if intent.index_before.exists() or intent.index_after.exists():
        if not at_home or head != intent.source:
            remarks.append("HEAD was moved since, so nothing is put back")
        elif not _is_ours_still(intent):
            remarks.append("the index was changed since, so nothing is put back: see `git status`")
        elif kept := put_back(git, repository, intent):
            remarks.append(f"changed since and left alone: {', '.join(kept)}")
    if doubtful:
        remarks.append("git is at work, so a lock that may be left is looked at by the next `quantum merge doctor`")
    if intent.names.exists():
        remarks += rescue(git, repository, intent, changes_between(git, intent.source, intent.target))
    forget(repository, intent, keep_record=doubtful)
    return Settled(made=False, remarks=tuple(remarks))


def _is_ours_still(intent: Intent) -> bool:
    """Whether the index is held by us, or, where a person took our lock away, is still as we left it (held again)."""
    if holds_index_lock(intent):
        return True
    try:
        take_index_lock(intent)
    except QuantumError:
        return False
    now = intent.index.read_bytes()
    return any(copy.exists() and copy.read_bytes() == now for copy in (intent.index_before, intent.index_after))


def _finished(
    git: Git, repository: Repository, intent: Intent, changes: tuple[Change, ...], step: Callable[[str], None]
) -> Settled:
    """Clean up after a move that is made: the merge's state, the copies, the locks, the record.

    Left behind, MERGE_HEAD would make a merge of the next commit, and the topic could never be merged again.
    """
    try:
        if intent.merge_heads and merge_heads(repository) == intent.merge_heads:
            # MERGE_AUTOSTASH is never touched: it is the user's work, which git applies when the hook has ended.
            for name in ("MERGE_MODE", "MERGE_MSG", "MERGE_HEAD"):
                (repository.git_dir / name).unlink(missing_ok=True)
        step("cleared")
        # Whoever had a file open when it was written over may have written into the one that is gone even later.
        remarks = tuple(rescue(git, repository, intent, changes))
        forget(repository, intent)
    except (QuantumError, OSError) as error:
        remark = f"cleaning up failed ({sentence_end(error)}): commit nothing before `quantum merge doctor` has run"
        return Settled(made=True, remarks=(remark,))
    step("forgotten")
    return Settled(made=True, remarks=remarks)


def forget(repository: Repository, intent: Intent, *, keep_record: bool = False) -> None:
    """Remove the copies of the index, our lock on it and the record, the record last."""
    intent.own_lock.unlink(missing_ok=True)
    drop_names(intent)
    for copy in (intent.index_before, intent.index_after):
        copy.unlink(missing_ok=True)
        for scrap in (".lock", ".part"):
            copy.with_name(copy.name + scrap).unlink(missing_ok=True)
    drop_index_lock(intent)
    if not keep_record:
        remove_intent(repository, intent)


def _locked_move(
    git: Git,
    repository: Repository,
    intent: Intent,
    changes: tuple[Change, ...],
    message: str,
    step: Callable[[str], None],
) -> None:
    take_index_lock(intent)
    step("locked")
    _demand_free(git, repository, intent, changes)
    for copy in (intent.index_before, intent.index_after):
        _copy_whole(intent.index, copy)
    hold_names(repository, intent, changes)
    step("copied")
    _with_copy(git, intent, "update-index", "-q", "--refresh", may_be=(0, 1))
    _with_copy(git, intent, *_switch(intent, "-n"))
    with git.conversation("update-ref", "--create-reflog", "-m", message, "--stdin") as refs:
        refs.ask("start")
        refs.say(f"update HEAD {intent.target} {intent.source}")
        refs.ask("prepare")
        step("prepared")
        marks = tuple(found for path in ref_locks(intent, repository) if (found := mark(path)))
        write_intent(repository, replace(intent, locks=marks))
        step("recorded")
        if current_branch(git) != intent.branch:
            raise NotMade("HEAD was moved to another branch meanwhile")
        _demand_free(git, repository, intent, changes)
        _with_copy(git, intent, *_switch(intent))
        step("switched")
        os.replace(intent.index_after, intent.index)
        step("indexed")
        if saved := [show(path) for path, _ in saved_meanwhile(git, repository, intent, changes)]:
            raise NotMade(f"it would touch your work: {in_words(saved)} was saved in that very moment")
        refs.ask("commit")


def _copy_whole(index: Path, copy: Path) -> None:
    scrap = copy.with_name(copy.name + ".part")
    # With its time: git takes a file that is as old as the index for one that may have changed since.
    shutil.copy2(index, scrap)
    with scrap.open("rb") as file:
        sync(file.fileno())
    os.replace(scrap, copy)


def _switch(intent: Intent, *options: str) -> tuple[str, ...]:
    return ("read-tree", *options, "-m", "-u", "--no-recurse-submodules", intent.source, intent.target)


def _with_copy(git: Git, intent: Intent, *arguments: str, may_be: tuple[int, ...] = (0,)) -> None:
    done = git.run(*arguments, timeout_seconds=_SWITCH_SECONDS, extra={"GIT_INDEX_FILE": str(intent.index_after)})
    if done.exit_code not in may_be:
        raise GitFailed(arguments[0], done.exit_code, done.said)


def _demand_free(git: Git, repository: Repository, intent: Intent, changes: tuple[Change, ...]) -> None:
    """Raise NotMade if the move would touch anything of the user's, or may not end for want of room."""
    try:
        if git.commit_of("HEAD") != intent.source or current_branch(git) != intent.branch:
            raise NotMade("HEAD was moved meanwhile")
        if intent.branch and elsewhere(git, repository, intent.branch):
            # Its index would stay behind, and the next commit there would bring all of it again, unasked.
            raise NotMade(f"{intent.branch} is checked out in another work tree, too: see `git worktree list`")
        if found := hindrances(git, repository, changes, intent.source, intent.index):
            raise NotMade(f"it would touch your work: {in_words(found)}")
        room = os.statvfs(repository.top)
        needed = bytes_needed(git, changes) + _SLACK_BYTES
        if room.f_bavail * room.f_frsize < needed:
            raise NotMade(f"the disk is full: {needed // 1000000 + 1} MB are needed")
    except (QuantumError, OSError) as error:
        raise NotMade(sentence_end(error)) from error


def sentence_end(error: Exception) -> str:
    """What an error says, as the end of a sentence without its full stop."""
    if isinstance(error, QuantumError):
        return error.message.rstrip(".")
    with contextlib.suppress(AttributeError):
        return str(error.strerror or error)  # type: ignore[attr-defined]
    return str(error)
