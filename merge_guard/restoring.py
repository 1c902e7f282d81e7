"""Undoes a half-made move: the work tree's files and the index become what they were, the user's later edits stay."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

from merge_guard.git import Git, GitFailed
from merge_guard.intent import Intent
from merge_guard.names import drop_names, rescue, saved_meanwhile
from merge_guard.touching import SUBMODULE, Change, begins, changes_between, checked_out, index_entries, same_file, show
from merge_guard.values import Repository


def put_back(git: Git, repository: Repository, intent: Intent) -> list[str]:
    """Bring the files that differ between the move's two ends back to `source`, then the index, which must be locked.

    Before the move every one of those files was as in `source`. What is found now as it is in `target`, missing, or
    cut short, is git's doing and is put back; anything else is the user's, stays, and is named in the result.
    Can be repeated. Raises OSError and GitFailed (a full disk), with nothing lost: both commits are in the repository.
    """
    changes = changes_between(git, intent.source, intent.target)
    old = [change.path for change in changes if change.before and change.before.mode != SUBMODULE]
    new = [change.path for change in changes if change.after and change.after.mode != SUBMODULE]
    index = intent.index_before if intent.index_before.exists() else intent.index
    tags = {path: tag for path, (tag, _) in index_entries(git, index).items()}
    # What a sparse checkout leaves out was not there before either.
    back = [change for change in changes if change.before and tags.get(change.path) != b"S"]
    top = os.fsencode(repository.top)
    with (
        checked_out(git, repository, intent.source, old) as source,
        checked_out(git, repository, intent.target, new) as target,
    ):
        for change in changes:
            if change.after and not change.before:
                _take_away(top, change.path, target)
        kept = [change.path for change in back if not _give_back(top, change, source, target)]
        for path, name in saved_meanwhile(git, repository, intent, changes):
            if same_file(os.path.join(top, path), os.path.join(source, path), executable=False):
                os.replace(name, os.path.join(top, path))
    told = rescue(git, repository, intent, changes)
    # Before git looks at the files: what loses a name is changed in its eyes.
    drop_names(intent)
    _restore_index(git, intent)
    return [*map(show, kept), *told]


def _take_away(top: bytes, path: bytes, target: bytes) -> None:
    """Remove a file that the move made, if it is as the move makes it, and the folders that this leaves empty."""
    place, form = os.path.join(top, path), os.path.join(target, path)
    if not _is_gits(place, form) or _behind_link(top, path):
        return
    os.unlink(place)
    parent = os.path.dirname(place)
    with contextlib.suppress(OSError):  # Ends at the first folder that is not empty.
        while parent != top:
            os.rmdir(parent)
            parent = os.path.dirname(parent)


def _give_back(top: bytes, change: Change, source: bytes, target: bytes) -> bool:
    """Write a file of `source` where git's doing, or nothing, is found; whether it is there now."""
    path = change.path
    place, form = os.path.join(top, path), os.path.join(source, path)
    assert change.before is not None
    if change.before.mode == SUBMODULE:
        if not os.path.lexists(place):
            os.makedirs(place)
        return True
    if _behind_link(top, path):
        return False
    if os.path.lexists(place):
        if same_file(place, form):
            return True
        if not _is_gits(place, form) and not _is_gits(place, os.path.join(target, path)):
            return False
        if os.path.isdir(place) and not os.path.islink(place):
            return False
        os.unlink(place)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    shutil.copy2(form, place, follow_symlinks=False)
    return True


def _is_gits(place: bytes, form: bytes) -> bool:
    """Whether a file is as git writes it, or the beginning of that."""
    if not os.path.lexists(place) or not os.path.lexists(form):
        return False
    return same_file(place, form, executable=False) or begins(place, form)


def _behind_link(top: bytes, path: bytes) -> bool:
    """Whether a folder above a path is a symbolic link, so that the path leads out of the work tree."""
    parts = path.split(b"/")[:-1]
    parents = [os.path.join(top, *parts[:depth]) for depth in range(1, len(parts) + 1)]
    return any(os.path.lexists(parent) and stat.S_ISLNK(os.lstat(parent).st_mode) for parent in parents)


def _restore_index(git: Git, intent: Intent) -> None:
    """Put the index of before in place; the files have other times now, so git is let look at them first."""
    if not intent.index_before.exists():
        return  # It is in place already.
    # A git of ours that was killed at this has left its lock on the copy.
    intent.index_before.with_name(f"{intent.index_before.name}.lock").unlink(missing_ok=True)
    extra = {"GIT_INDEX_FILE": str(intent.index_before)}
    done = git.run("update-index", "-q", "--refresh", extra=extra)
    if done.exit_code < 0 or done.exit_code > 1:
        raise GitFailed("update-index", done.exit_code, done.said)
    os.replace(intent.index_before, intent.index)
