"""Mends what a crash in the midst of a move left: the repository is as before it, or as after it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from foundation.errors import QuantumError
from merge_guard.git import Git
from merge_guard.intent import Intent, read_intents
from merge_guard.moving import sentence_end, settle
from merge_guard.repository import hold
from merge_guard.values import Repository


def mend(repository: Repository, *, git: Git | None = None, wait: bool = False) -> list[str]:
    """Finish or undo every half-made move in a repository and its work trees; one sentence for each, none: all is well.

    What has moved the branch is finished, what has not is undone. Removes only locks that are provably the guard's
    own. Raises Conflict while a move is being made (unless `wait`), Internal for a record that cannot be read.
    """
    # Without the lock: another check that takes a merge back at this moment would find it held, and give up.
    if not read_intents(repository) and not any(_scraps(repository)):
        return []
    with hold(repository, wait=wait) as lock:
        return mend_held(repository, (git or Git(repository.top)).keeping(lock))


def mend_held(repository: Repository, git: Git) -> list[str]:
    """As `mend`, for one who holds the lock."""
    told = [_mend_one(repository, git, intent) for intent in read_intents(repository)]
    for scrap in _scraps(repository):
        if scrap.is_dir():
            shutil.rmtree(scrap, ignore_errors=True)
        else:
            scrap.unlink(missing_ok=True)
    return told


def _scraps(repository: Repository) -> Iterator[Path]:
    """What a crash left beside half-made moves. Nobody else writes there, and one who does holds the guard's lock."""
    yield from (repository.common_dir / "quantum").glob("forms-*")
    yield from (repository.common_dir / "refs" / "quantum" / "rollback").glob("*.lock")


def _mend_one(repository: Repository, git: Git, intent: Intent) -> str:
    its_own = Repository(top=Path(intent.top), git_dir=Path(intent.git_dir), common_dir=repository.common_dir)
    where = f"The {intent.what} of {intent.branch or 'HEAD'} in {intent.top}"
    try:
        settled = settle(git.at(its_own.top), its_own, intent)
    except (QuantumError, OSError) as error:
        return f"{where} cannot be ended yet: {sentence_end(error)}. Mend that and run `quantum merge doctor` again."
    short = (intent.target if settled.made else intent.source)[:12]
    done = f"was finished: it is at {short}" if settled.made else f"was undone: it is at {short} as before"
    return f"{where} {'; '.join([done, *settled.remarks])}."
