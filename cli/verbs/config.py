"""`quantum config`: every setting, where it comes from, and whether all of them are right."""

from __future__ import annotations

import click

from cli.groups import Group
from cli.options import json_option
from cli.output.printing import emit, table
from cli.session import Session
from cli.workspace.config_file import ConfigFile
from cli.workspace.projects_file import ProjectsFile
from foundation.errors import NotFound, did_you_mean
from foundation.known_settings import KNOWN, NOT_ACTED_ON
from foundation.settings import Explained, explain


@click.group(cls=Group)
def command() -> None:
    """Settings: environment before config/agent_config.json before the default."""


@command.command()
@click.argument("names", nargs=-1)
@click.option("--origin", is_flag=True, help="Say where each comes from.")
@json_option
@click.pass_obj
def show(session: Session, names: tuple[str, ...], origin: bool, as_json: bool) -> None:
    """Show the settings as they stand, all or those of NAMES."""
    settings = _explain(session)
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise NotFound("unknown_setting", f"There is no setting “{unknown[0]}”.", remedy="quantum config show")
    chosen = [one for one in settings if not names or one.name in names]
    if as_json:
        emit({"settings": {one.name: _document(one) for one in chosen}})
    elif origin:
        table(("SETTING", "VALUE", "ORIGIN", "WHAT"), [(*_pair(one), one.origin, _what(one)) for one in chosen])
    else:
        table(("SETTING", "VALUE", "WHAT"), [(*_pair(one), _what(one)) for one in chosen])


@command.command()
@json_option
@click.pass_obj
def check(session: Session, as_json: bool) -> None:
    """Read every setting and project; with a fault, name all of them and exit with 65."""
    changed = [one for one in _explain(session) if one.origin != "default"]
    projects = ProjectsFile(session.workspace.projects_file).read()
    if as_json:
        idle = [one.name for one in changed if one.name in NOT_ACTED_ON]
        emit({"ok": True, "set": len(changed), "projects": len(projects), "not_acted_on": idle})
    else:
        click.echo(f"All is right: {len(changed)} of {len(KNOWN)} settings are set, the others have their defaults.")
        for one in changed:
            if one.name in NOT_ACTED_ON:
                click.echo(f"  ! {one.name} ({one.origin}) is not acted on yet.")


@command.command("set")
@click.argument("name")
@click.argument("value")
@json_option
@click.pass_obj
def set_(session: Session, name: str, value: str, as_json: bool) -> None:
    """Write a setting into config/agent_config.json; services take it up at their next start."""
    near = did_you_mean(name, KNOWN)
    if name not in KNOWN:
        meant = f" Did you mean {near}?" if near else ""
        raise NotFound("unknown_setting", f"There is no setting “{name}”.{meant}", remedy="quantum config show")
    # As a flag would be read: of the right type, and within its bounds.
    explained = {one.name: one for one in explain(flags={name: value}, environ={})}[name]
    ConfigFile(session.workspace.config_file).set(name, explained.value)
    variable = f"QUANTUM_{name.upper()}"
    outranked = variable if session.environ.get(variable) else None
    if as_json:
        emit({"name": name, "value": explained.value, "outranked_by": outranked})
        return
    click.echo(f"{name} is {explained.value}, from the next start on. Undo: quantum config unset {name}")
    if outranked:
        click.echo(f"  ! {outranked} is set and counts instead: unset {outranked}")


@command.command()
@click.argument("name")
@json_option
@click.pass_obj
def unset(session: Session, name: str, as_json: bool) -> None:
    """Take an entry out of config/agent_config.json, also one that is no setting; its default counts then."""
    removed = ConfigFile(session.workspace.config_file).unset(name)
    if as_json:
        emit({"name": name, "removed": removed})
    elif removed:
        click.echo(f"{name} is not in config/agent_config.json any more.")
    else:
        click.echo(f"{name} was not in config/agent_config.json.")


def _explain(session: Session) -> list[Explained]:
    return explain(environ=session.environ, workspace=session.workspace)


def _document(one: Explained) -> dict[str, object]:
    return {"value": one.value, "origin": one.origin, "acted_on": one.name not in NOT_ACTED_ON}


def _what(one: Explained) -> str:
    doc = KNOWN[one.name].doc
    return f"not acted on yet: {doc}" if one.name in NOT_ACTED_ON else doc


def _pair(one: Explained) -> tuple[str, str]:
    return one.name, str(one.value).lower() if isinstance(one.value, bool) else str(one.value)
