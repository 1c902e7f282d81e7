"""`quantum hooks`: the merge guard in git repositories: put in, taken out, and how it stands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from cli.groups import Group
from cli.hooks.putting_in import put_in
from cli.hooks.standing import State, standing
from cli.hooks.taking_out import forget, take_out
from cli.hooks.targets import Target, targets
from cli.hooks.token import keep_good, token_id
from cli.options import dry_run_option, json_option
from cli.output.documents import document, documents
from cli.output.printing import emit, printable, table
from cli.processes.running import read_running
from cli.session import Session
from foundation.errors import QuantumError
from foundation.ids import SystemIds
from foundation.repositories import read_repositories

EXIT_WRONG = 1
UP = "quantum up --detach makes it; so does quantum hooks install once everything runs."
repository = click.argument("repository", required=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A repository in which it did not work, and why."""

    folder: Path
    project: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The hooks' token: whether one lies in its file, and if not, why and what to do."""

    file: Path
    there: bool
    reason: str = ""
    remedy: str = ""


@click.group(cls=Group)
def command() -> None:
    """The merge guard in git repositories: a merge is tested, and a bad one taken back.

    Without the name of a project or a folder all are meant: the workspace's and every project's, with their
    submodules, and whatever else is guarded.
    """


@command.command()
@repository
@json_option
@click.pass_obj
def install(session: Session, repository: str | None, as_json: bool) -> int:
    """Guard repositories. A second time changes nothing; what hooks there were are kept, and run first."""
    ids = SystemIds(session.clock)
    refused: list[Refused] = []
    done: list[tuple[Target, Any]] = []
    for target in targets(session, repository):
        try:
            if target.place is None:
                refused.append(_refused(target, target.fault, target.remedy))
            else:
                done.append((target, put_in(target.place, target.project, session.workspace, ids)))
        except QuantumError as error:
            refused.append(_refused(target, error.message, error.remedy))
    token = _make_token(session) if done else _look_for_token(session)
    undo = f"quantum hooks uninstall{f' {shlex.quote(repository)}' if repository else ''}"
    if as_json:
        listed = [
            {**document(one), "folder": str(target.folder), "project": target.project or None} for target, one in done
        ]
        emit({"repositories": listed, "refused": documents(refused), "token": document(token), "undo": undo})
        return EXIT_WRONG if refused else 0
    for target, one in done:
        click.echo(f"{target.folder} {'is guarded now' if one.changed else 'was guarded already'}: {one.hooks}")
        how = standing(target, session.workspace).how
        if how:
            click.echo(f"  {how}")
    _say_refused(refused)
    if not done and not refused:
        click.echo("There is no repository here: neither the workspace nor a project is in one.")
    _say_token(token)
    if any(one.changed for _, one in done):
        click.echo(f"  undo: {undo}")
    return EXIT_WRONG if refused else 0


@command.command()
@repository
@dry_run_option
@json_option
@click.pass_obj
def uninstall(session: Session, repository: str | None, dry_run: bool, as_json: bool) -> int:
    """Take the guard out again, and put back what hooks there were."""
    refused: list[Refused] = []
    done: list[tuple[Target, Any]] = []
    for target in targets(session, repository):
        try:
            if target.place is None:
                done.append((target, forget(target.folder, session.workspace, dry_run=dry_run)))
            else:
                done.append((target, take_out(target.place, session.workspace, dry_run=dry_run)))
        except QuantumError as error:
            refused.append(_refused(target, error.message, error.remedy))
    if not dry_run:
        _drop_token(session)
    changed = [(target, one) for target, one in done if one.changed]
    undo = f"quantum hooks install{f' {shlex.quote(repository)}' if repository else ''}"
    if as_json:
        listed = [{**document(one), "folder": str(target.folder)} for target, one in changed]
        emit({"dry_run": dry_run, "repositories": listed, "refused": documents(refused), "undo": undo})
        return EXIT_WRONG if refused else 0
    verb = "would be" if dry_run else "is"
    many = f"{len(changed)} {'repository' if len(changed) == 1 else 'repositories'}"
    click.echo(f"The guard {verb} taken out of {many}.")
    for target, one in changed:
        restored = f"; put back: {', '.join(one.restored)}" if one.restored else ""
        click.echo(f"  {target.folder}{restored}")
        for path in one.left:
            click.echo(f"  {path} stays: its place was taken by somebody else's hook.")
    _say_refused(refused)
    if changed and not dry_run:
        click.echo(f"  undo: {undo}")
    return EXIT_WRONG if refused else 0


@command.command()
@repository
@json_option
@click.pass_obj
def status(session: Session, repository: str | None, as_json: bool) -> int:
    """Say of each repository whether it is guarded, has no guard, or one that git does not come to.

    Exit code 1 for the last.
    """
    found = [standing(target, session.workspace) for target in targets(session, repository)]
    token = _look_for_token(session)
    wrong = any(one.state is State.BYPASSED for one in found) or not token.there
    if as_json:
        emit({"repositories": documents(found), "token": document(token)})
        return EXIT_WRONG if wrong else 0
    if not found:
        click.echo("There is no repository here: neither the workspace nor a project is in one.")
        return 0
    table(
        ("REPOSITORY", "PROJECT", "GUARD", ""),
        [(str(one.folder), one.project, one.state.value, one.reason or one.how) for one in found],
    )
    for line in dict.fromkeys(one.remedy for one in found if one.remedy):
        click.echo(f"  → {printable(line)}")
    _say_token(token)
    return EXIT_WRONG if wrong else 0


def _refused(target: Target, reason: str, remedy: str) -> Refused:
    return Refused(folder=target.folder, project=target.project, reason=reason, remedy=remedy)


def _say_refused(refused: Sequence[Refused]) -> None:
    for one in refused:
        click.echo(f"{one.folder} is left as it was: {printable(one.reason)}", err=True)
        if one.remedy:
            click.echo(f"  → {printable(one.remedy)}", err=True)


def _say_token(token: Token) -> None:
    if not token.there:
        click.echo(f"The hooks have no token yet, so that nothing is checked: {printable(token.reason)}", err=True)
        click.echo(f"  → {printable(token.remedy)}", err=True)


def _look_for_token(session: Session) -> Token:
    """What can be seen without a service; no token is missed while nothing is guarded."""
    workspace = session.workspace
    guarded = read_repositories(workspace.repositories_file).by_id
    if token_id(workspace) or not guarded:
        return Token(file=workspace.hooks_token, there=True)
    return Token(file=workspace.hooks_token, there=False, reason="Its file is not there.", remedy=UP)


def _make_token(session: Session) -> Token:
    """See that there is a good one. While nothing runs it can only be seen that there is one."""
    workspace = session.workspace
    try:
        if token_id(workspace) and read_running(workspace) is None:
            return Token(file=workspace.hooks_token, there=True)
        with session.connected() as connected:
            keep_good(workspace, connected, age=None, overlap=timedelta.max, now=session.clock.now())
    except QuantumError as error:
        return Token(file=workspace.hooks_token, there=bool(token_id(workspace)), reason=error.message, remedy=UP)
    return Token(file=workspace.hooks_token, there=True)


def _drop_token(session: Session) -> None:
    """With nothing left to guard the token is dropped at once, and revoked now or when everything runs again."""
    workspace = session.workspace
    if read_repositories(workspace.repositories_file).by_id:
        return
    workspace.hooks_token.unlink(missing_ok=True)
    if read_running(workspace) is not None:
        with session.connected() as connected:
            keep_good(workspace, connected, age=None, overlap=timedelta.max, now=session.clock.now())
