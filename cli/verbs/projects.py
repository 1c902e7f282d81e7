"""`quantum projects`: the projects, and how to add or remove one."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from cli.groups import Group
from cli.options import dry_run_option, json_option
from cli.output.printing import emit, table
from cli.session import Session
from cli.workspace.projects_file import ProjectsFile


@click.group(cls=Group)
def command() -> None:
    """Projects: a name and a folder, in which an agent runs with --project NAME."""


@command.command("list")
@json_option
@click.pass_obj
def list_projects(session: Session, as_json: bool) -> None:
    """List the projects. They are read from the file, so that nothing need run."""
    found = ProjectsFile(session.workspace.projects_file).read()
    there = {name: _absolute(session, folder).is_dir() for name, folder in found.items()}
    if as_json:
        listed = [{"name": name, "folder": folder, "there": there[name]} for name, folder in found.items()]
        emit({"projects": listed, "file": str(session.workspace.projects_file)})
        return
    if not found:
        click.echo("There is no project yet: quantum projects add NAME FOLDER")
        return
    table(
        ("NAME", "FOLDER", ""),
        [(name, folder, "" if there[name] else "is not there") for name, folder in found.items()],
    )


@command.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def add(session: Session, name: str, folder: Path, as_json: bool) -> None:
    """Add a project. It is known within two seconds, also to what runs already."""
    absolute = (session.cwd / folder.expanduser()).resolve()
    added = ProjectsFile(session.workspace.projects_file).add(name, absolute)
    undo = f"quantum projects remove {name}"
    if as_json:
        emit({"name": name, "folder": str(absolute), "added": added, "undo": undo})
        return
    click.echo(f"{name} is {absolute}." if added else f"{name} was {absolute} already.")
    if added:
        click.echo(f"  undo: {undo}")


@command.command()
@click.argument("name")
@dry_run_option
@json_option
@click.pass_obj
def remove(session: Session, name: str, dry_run: bool, as_json: bool) -> None:
    """Take a project out of the list; its folder is not touched."""
    file = ProjectsFile(session.workspace.projects_file)
    folder = file.folder_of(name) if dry_run else file.remove(name)
    undo = f"quantum projects add {name} {shlex.quote(folder)}"
    if as_json:
        emit({"dry_run": dry_run, "name": name, "folder": folder, "undo": undo})
        return
    click.echo(f"1 project {'would be' if dry_run else 'is'} taken out: {name}, {folder}.")
    if not dry_run:
        click.echo(f"  undo: {undo}")


def _absolute(session: Session, folder: str) -> Path:
    return session.workspace.root / Path(folder).expanduser()
