"""`quantum secret`: what is handed to agents whose manifest names it; kept in this machine's keychain."""

from __future__ import annotations

import sys

import click

from cli.groups import Group
from cli.options import dry_run_option, json_option
from cli.output.printing import emit, table
from cli.session import Session
from foundation.agent_secrets import BYTES_MAX, AgentSecrets, require_name
from foundation.errors import NotFound

_GIVEN_CHARS_MAX = 4 * BYTES_MAX


@click.group(cls=Group)
def command() -> None:
    """Secrets for agents and alert channels: `secrets = ["openai"]` in a manifest asks for one of them.

    They lie in the keychain of this machine, and a runner on another machine looks into its own.
    """


@command.command("set")
@click.argument("name")
@json_option
@click.pass_obj
def set_secret(session: Session, name: str, as_json: bool) -> None:
    """Store a secret under NAME, in place of the one that was there.

    It is asked for, or read from standard input without its last line end; never taken from the command line.
    """
    require_name(name)
    secrets = _secrets(session)
    new = secrets.set(name, _ask(name))
    if as_json:
        emit({"name": name, "new": new, "secrets": session.secrets.describe})
        return
    click.echo(f"The secret “{name}” is {'stored' if new else 'another one now'}, in {session.secrets.describe}.")
    click.echo("Tasks that start from now on get it; those that run keep what they have.")


@command.command("list")
@json_option
@click.pass_obj
def list_secrets(session: Session, as_json: bool) -> None:
    """List the names that were stored here; never a secret."""
    names = _secrets(session).names()
    if as_json:
        emit({"secrets": [{"name": name, "present": present} for name, present in names]})
    elif not names:
        click.echo("No secret is stored. quantum secret set NAME stores one.")
    else:
        table(("NAME", "IN THE KEYCHAIN"), [(name, "yes" if present else "no") for name, present in names])


@command.command()
@click.argument("name")
@dry_run_option
@json_option
@click.pass_obj
def remove(session: Session, name: str, dry_run: bool, as_json: bool) -> None:
    """Forget a secret. Agents that ask for it are refused from then on, until it is stored again."""
    secrets = _secrets(session)
    if dry_run:
        if name not in [known for known, _ in secrets.names()]:
            raise NotFound("no_such_secret", f"There is no secret “{name}”.", remedy="quantum secret list")
    else:
        secrets.remove(name)
    if as_json:
        emit({"dry_run": dry_run, "name": name})
        return
    click.echo(f"1 secret {'would be' if dry_run else 'is'} removed: “{name}”.")
    click.echo(f"  It cannot be brought back from here; to store it anew: quantum secret set {name}")


def _secrets(session: Session) -> AgentSecrets:
    if not session.workspace.state.is_dir():
        raise NotFound(
            "not_initialised",
            f"{session.workspace.root} keeps no secrets yet: its first start is still to come.",
            remedy=f"quantum init {session.workspace.root}",
        )
    return AgentSecrets(session.workspace, session.secrets, session.clock)


def _ask(name: str) -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt(f"The secret “{name}”", hide_input=True, confirmation_prompt="Once more")
        return typed
    given = sys.stdin.read(_GIVEN_CHARS_MAX)
    return given[:-1].removesuffix("\r") if given.endswith("\n") else given
