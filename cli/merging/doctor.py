"""`quantum merge doctor`: finishes or undoes what a crash left half-made in a guarded repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from cli.merging.words import repo_option
from cli.options import dry_run_option, json_option
from cli.output.documents import documents
from cli.output.printing import emit, printable
from cli.session import Session
from foundation.errors import QuantumError
from foundation.repositories import read_repositories
from merge_guard.doctor import mend
from merge_guard.intent import read_intents
from merge_guard.repository import open_repository
from merge_guard.values import Repository

UNMENDED = 1
"""The exit code when something is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One repository, what was done there (or would be), and what is left to be done."""

    folder: str
    done: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@click.command()
@repo_option
@dry_run_option
@json_option
@click.pass_obj
def doctor(session: Session, repo: Path | None, dry_run: bool, as_json: bool) -> int:
    """Finish or undo what a crash left half-made, in every guarded repository or that of --repo.

    Works with everything down. Exit code 1 when something is left that a person must put right first.
    """
    look = _would_mend if dry_run else _mend
    seen = [_one(folder, look) for folder in ([session.cwd / repo] if repo else _guarded(session))]
    code = UNMENDED if any(one.left for one in seen) else 0
    if as_json:
        emit({"dry_run": dry_run, "repositories": documents(seen)})
        return code
    for one in seen:
        for sentence in one.done:
            click.echo(printable(sentence))
        for sentence in one.left:
            click.echo(f"{printable(one.folder)}: {printable(sentence)}", err=True)
    if not any(one.done or one.left for one in seen):
        click.echo("Nothing is half-made." if seen else "No repository is guarded here: quantum hooks install")
    return code


def _guarded(session: Session) -> Iterator[Path]:
    found = read_repositories(session.workspace.repositories_file)
    for fault in found.faults:
        click.echo(fault, err=True)
    yield from sorted(one.folder for one in found.by_id.values())


def _one(folder: Path, look: Callable[[Repository], _Seen]) -> _Seen:
    """What `look` sees; a repository that cannot be looked at keeps the others from nothing."""
    try:
        return look(open_repository(folder))
    except QuantumError as error:
        return _Seen(folder=str(folder), left=(f"{error.message} {error.remedy}".strip(),))


def _mend(repository: Repository) -> _Seen:
    told = mend(repository)
    left = len(read_intents(repository))
    # One sentence for each; those of moves that are still recorded say what keeps them from being ended.
    done, kept = (told, []) if not left else ([], told)
    return _Seen(folder=str(repository.top), done=tuple(done), left=tuple(kept))


def _would_mend(repository: Repository) -> _Seen:
    told = [
        f"The {intent.what} of {intent.branch or 'HEAD'} in {intent.top} was broken off and would be ended: it is"
        f" between {intent.source[:12]} and {intent.target[:12]}."
        for intent in read_intents(repository)
    ]
    return _Seen(folder=str(repository.top), done=tuple(told))
