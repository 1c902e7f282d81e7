"""`quantum runbook`: the command names of the operations runbook: put in, taken out, listed, run."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from typing import Any

import click

from cli.groups import Group
from cli.options import dry_run_option, json_option
from cli.output.documents import document
from cli.output.printing import counted, emit, table
from cli.runbook.commands import Command, command_for, commands
from cli.runbook.links import Changed, State, states
from cli.runbook.links import install as put_in
from cli.runbook.links import uninstall as take_out
from cli.session import Session
from foundation.errors import NotFound, Unavailable
from foundation.own_python import PACKAGES, child_environment


@click.group(cls=Group)
def command() -> None:
    """The command names that the operations runbook types, as links in the workspace: each says what it runs."""


@command.command()
@dry_run_option
@json_option
@click.pass_obj
def install(session: Session, dry_run: bool, as_json: bool) -> None:
    """Put a link at each name. What is there already stays, and is named; a second time changes nothing."""
    done = put_in(session.workspace.root, dry_run=dry_run)
    undo = "quantum runbook uninstall"
    if as_json:
        emit({"dry_run": dry_run, **document(done), "undo": undo})
        return
    would = " would be" if dry_run else ""
    already = f", {len(done.already)} were there already" if done.already else ""
    click.echo(
        f"{counted(len(done.changed), 'name')} of the runbook{would} put into {session.workspace.root}{already}."
    )
    _say_kept(done)
    if done.changed and not dry_run:
        click.echo(f"  undo: {undo}")


@command.command()
@dry_run_option
@json_option
@click.pass_obj
def uninstall(session: Session, dry_run: bool, as_json: bool) -> None:
    """Take our links away, and what was made for them."""
    done = take_out(session.workspace.root, dry_run=dry_run)
    undo = "quantum runbook install"
    if as_json:
        emit({"dry_run": dry_run, **document(done), "undo": undo})
        return
    would = "would be" if dry_run else "is" if len(done.changed) == 1 else "are"
    click.echo(f"{counted(len(done.changed), 'name')} {would} taken out of {session.workspace.root}.")
    _say_kept(done)
    if done.changed and not dry_run:
        click.echo(f"  undo: {undo}")


@command.command("list")
@json_option
@click.pass_obj
def list_(session: Session, as_json: bool) -> None:
    """Show each name: what it runs, whether that is there yet, and what is at its place."""
    found = states(session.workspace.root)
    rows = [_row(session, one, found[one.place]) for one in commands()]
    if as_json:
        emit({"commands": rows})
        return
    table(
        ("NAME", "RUNS", "PLACE", ""),
        [
            (
                f"{row['place']} {row['option'] or ''}".strip(),
                row["runs"],
                row["state"],
                "" if row["there"] else "still to come",
            )
            for row in rows
        ],
    )


@command.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("name")
@click.argument("typed", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(ctx: click.Context, name: str, typed: tuple[str, ...]) -> None:
    """Do what NAME stands for, and say what that is: this is what the links call."""
    session: Session = ctx.obj
    row = command_for(name, typed)
    if row.hook:
        _replace_by([str(PACKAGES / "hooks" / row.hook), *typed], dict(os.environ))
    words = _words(session, row)
    if words is None:
        raise Unavailable(
            "still_to_come",
            f"{shlex.join((name, *typed))} is still to come: this installation has no “{row.stands_for}” yet.",
            remedy=f"Meanwhile: {row.meanwhile}" if row.meanwhile else "",
        )
    words = tuple(row.with_typed(words, typed))
    click.echo(f"{name} runs: {shlex.join(('quantum', *words))}", err=True)
    where = ("--workspace", session.environ["QUANTUM_WORKSPACE"]) if "QUANTUM_WORKSPACE" in session.environ else ()
    _replace_by([sys.executable, "-m", "cli", *where, *words], child_environment(os.environ))


def _words(session: Session, row: Command) -> tuple[str, ...] | None:
    group = click.get_current_context().find_root().command
    assert isinstance(group, click.Group)
    folders = [PACKAGES / "agents"]
    with contextlib.suppress(NotFound):  # without a workspace there are the agents that come with Quantum
        folders.append(session.workspace.agents)
    return row.words(group, folders)


def _row(session: Session, row: Command, state: State) -> dict[str, Any]:
    words = None if row.hook else _words(session, row)
    return {
        "place": row.place,
        "option": row.option or None,
        "runs": shlex.join(("quantum", *row.with_typed(words, ()))) if words else row.stands_for,
        "there": bool(row.hook or words),
        "state": state.value,
        "meanwhile": row.meanwhile or None,
    }


def _say_kept(done: Changed) -> None:
    for path in done.kept:
        click.echo(f"  {path} is yours and stays as it is.")


def _replace_by(argv: list[str], environ: dict[str, str]) -> None:
    """Become another program: its signals, its exit code, and one process less."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(argv[0], argv, environ)
