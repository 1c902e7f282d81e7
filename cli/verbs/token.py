"""`quantum token`: your own token, and those of others."""

from __future__ import annotations

from datetime import timedelta

import click

from cli.documents import document, documents
from cli.options import Duration, dry_run_option, json_option
from cli.printing import emit, table, when
from cli.session import Session
from foundation.errors import NotFound


@click.group()
def command() -> None:
    """Your token, and those of others."""


@command.command()
@json_option
@click.pass_obj
def show(session: Session, as_json: bool) -> None:
    """Print your token, alone: TOKEN=$(quantum token show)."""
    token = session.token
    if as_json:
        emit({"token": token, "secrets": session.secrets.describe})
    else:
        click.echo(token)


@command.command()
@click.option("--name", required=True, help="Whose it is, or what for; shown in lists and beside what it did.")
@click.option(
    "--scopes", required=True, help="Any of read, submit, cancel, operate, rotate, admin; with commas between."
)
@click.option("--lifetime", type=Duration(), help="After this it is no longer good; without, it does not expire.")
@json_option
@click.pass_obj
def issue(session: Session, name: str, scopes: str, lifetime: timedelta | None, as_json: bool) -> None:
    """Make a token for a person or a program. It is printed this once."""
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    with session.connected() as connected:
        issued = connected.call(connected.safety.issue_token(name, wanted, lifetime=lifetime))
    if as_json:
        emit({"token": issued.text, "info": document(issued.token)})
        return
    click.echo(issued.text)
    # On standard error, so that $(quantum token issue …) holds the token alone.
    until = f", good until {when(issued.token.expires_at)}" if issued.token.expires_at else ""
    held = ", ".join(sorted(issued.token.scopes))
    click.echo(f"Token {issued.token.id} for “{name}” with {held}{until}. It is not shown again.", err=True)
    click.echo(f"  undo: quantum token revoke {issued.token.id}", err=True)


@command.command("list")
@json_option
@click.pass_obj
def list_tokens(session: Session, as_json: bool) -> None:
    """List the tokens: whose, what for, and when they were last used."""
    with session.connected() as connected:
        tokens = connected.call(connected.safety.list_tokens())
    if as_json:
        emit({"tokens": documents(tokens)})
        return
    rows = [
        (
            token.id,
            token.name,
            "revoked" if token.revoked_at else when(token.expires_at) if token.expires_at else "no end",
            when(token.last_used_at),
            ",".join(sorted(token.scopes)),
        )
        for token in tokens
    ]
    table(("ID", "NAME", "GOOD UNTIL", "LAST USED", "SCOPES"), rows)


@command.command()
@click.argument("token_id")
@dry_run_option
@json_option
@click.pass_obj
def revoke(session: Session, token_id: str, dry_run: bool, as_json: bool) -> None:
    """Make a token worthless, within a second. This cannot be undone; a new one can be issued."""
    with session.connected() as connected:
        if dry_run:
            found = [one for one in connected.call(connected.safety.list_tokens()) if one.id == token_id]
            if not found:
                raise NotFound(
                    "unknown_token", f"There is no token {token_id}.", remedy="quantum token list shows them."
                )
            token = found[0]
        else:
            token = connected.call(connected.safety.revoke_token(token_id))
    if as_json:
        emit({"dry_run": dry_run, "token": document(token)})
        return
    verb = "would be" if dry_run else "is"
    click.echo(f"1 token {verb} revoked: {token.id}, “{token.name}”.")
    scopes = ",".join(sorted(token.scopes))
    click.echo(f"  A revoked token stays so; a new one: quantum token issue --name '{token.name}' --scopes {scopes}")
