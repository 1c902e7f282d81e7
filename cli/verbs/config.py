"""`quantum config`: every setting, where it comes from, and whether all of them are right."""

from __future__ import annotations

import click

from cli.options import json_option
from cli.printing import emit, table
from cli.projects_file import ProjectsFile
from cli.session import Session
from foundation.errors import NotFound
from foundation.known_settings import KNOWN, NOT_ACTED_ON
from foundation.settings import Explained, explain


@click.group()
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


def _explain(session: Session) -> list[Explained]:
    return explain(environ=session.environ, workspace=session.workspace)


def _document(one: Explained) -> dict[str, object]:
    return {"value": one.value, "origin": one.origin, "acted_on": one.name not in NOT_ACTED_ON}


def _what(one: Explained) -> str:
    doc = KNOWN[one.name].doc
    return f"not acted on yet: {doc}" if one.name in NOT_ACTED_ON else doc


def _pair(one: Explained) -> tuple[str, str]:
    return one.name, str(one.value).lower() if isinstance(one.value, bool) else str(one.value)
