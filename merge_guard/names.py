"""Keeps a second name of every file that a move writes over or removes, for what is saved into it in that moment.

Git looks at all of them, then writes one after the other. What an editor saves into a file between the two would be
gone without a word; by its second name it is found before the move is made.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from merge_guard.git import Git
from merge_guard.intent import Intent
from merge_guard.repository import quantum_folder
from merge_guard.touching import Change, checked_out, same_file, show
from merge_guard.values import Repository

_BEGAN = "began"
_REGULAR = "100"


def hold_names(repository: Repository, intent: Intent, changes: Sequence[Change]) -> None:
    """Give the files that `changes` leave or overwrite a second name each; where that cannot be, they have none.

    To be followed by a look at the bytes of all of them: what was written before is not noticed later.
    """
    intent.names.mkdir(exist_ok=True)
    (intent.names / _BEGAN).touch()
    top = os.fsencode(repository.top)
    for number, change in enumerate(changes):
        if change.before and change.before.mode.startswith(_REGULAR):
            with contextlib.suppress(OSError):  # Another file system than the work tree's, or one without such names.
                os.link(os.path.join(top, change.path), _name(intent, number), follow_symlinks=False)


def saved_meanwhile(
    git: Git, repository: Repository, intent: Intent, changes: Sequence[Change]
) -> list[tuple[bytes, Path]]:
    """The files into which somebody has written since, each with its second name. Raises GitFailed, OSError."""
    suspects = list(_written(os.fsencode(repository.top), intent, changes))
    if not suspects:
        return []
    with checked_out(git, repository, intent.source, [path for path, _ in suspects]) as forms:
        return [
            (path, name)
            for path, name in suspects
            if not same_file(os.fsencode(name), os.path.join(forms, path), executable=False)
        ]


def rescue(git: Git, repository: Repository, intent: Intent, changes: Sequence[Change]) -> list[str]:
    """Keep what was saved meanwhile among the guard's own files; each as the end of a sentence that says where."""
    told = []
    for path, name in saved_meanwhile(git, repository, intent, changes):
        kept = quantum_folder(repository) / f"saved-{intent.check}-{name.name}"
        shutil.move(name, kept)
        told.append(f"what was saved into {show(path)} meanwhile is kept as {kept}")
    return told


def drop_names(intent: Intent) -> None:
    """Take the second names away."""
    shutil.rmtree(intent.names, ignore_errors=True)


def _name(intent: Intent, number: int) -> Path:
    return intent.names / str(number)


def _written(top: bytes, intent: Intent, changes: Sequence[Change]) -> Iterator[tuple[bytes, Path]]:
    """The files that were written into, but those that still have their own name as well."""
    try:
        began = (intent.names / _BEGAN).stat().st_mtime_ns
    except FileNotFoundError:
        return
    for number, change in enumerate(changes):
        name = _name(intent, number)
        with contextlib.suppress(FileNotFoundError):
            found = name.lstat()
            if found.st_mtime_ns >= began and not _is_there(os.path.join(top, change.path), found):
                yield change.path, name


def _is_there(place: bytes, file: os.stat_result) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.path.samestat(os.lstat(place), file)
    return False
