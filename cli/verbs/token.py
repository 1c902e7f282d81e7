"""`quantum token`: your own token, and those of others."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from cli.groups import Group
from cli.hooks.token import keep_good
from cli.keys.token_rotation import Rotation, RotationSettings, places
from cli.options import Duration, dry_run_option, json_option
from cli.output.documents import document, documents
from cli.output.printing import emit, table, when
from cli.session import Session
from clients.safety_values import IssuedToken, TokenView
from foundation.errors import NotFound
from foundation.loop import BackgroundLoop
from foundation.settings import load


@click.group(cls=Group)
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
    "--scopes", required=True, help="Any of read, submit, cancel, operate, merge, rotate, admin; with commas between."
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


@command.command()
@click.option("--all", "all_of_them", is_flag=True, help="Those of the services too.")
@click.option("--due", is_flag=True, help="Only those that are older than token_rotation_seconds.")
@json_option
@click.pass_obj
def rotate(session: Session, all_of_them: bool, due: bool, as_json: bool) -> None:
    """Replace your token in the keychain by a new one; the old one stays good for the overlap.

    `quantum up` does this by itself once a day.
    """
    workspace = session.workspace
    wanted = places(workspace) if all_of_them else places(workspace)[:1]
    with BackgroundLoop("rotation") as loop:
        rotation = Rotation(workspace, session.secrets, loop)
        if due:
            settings = load(RotationSettings, environ=session.environ, workspace=workspace)
            wanted = rotation.due(wanted, timedelta(seconds=settings.token_rotation_seconds), now=session.clock.now())
        replaced = {place.holder: rotation.rotate(place) for place in wanted}
    renewed = _renew_hooks_token(session, due=due) if all_of_them else None
    if as_json:
        listed = [{"holder": holder, "token": document(one)} for holder, one in replaced.items()]
        emit({"replaced": listed, "hooks_token": document(renewed.token) if renewed else None})
        return
    if renewed:
        click.echo(f"The token of the git hooks is a new one, in {session.workspace.hooks_token}.")
    for holder, before in replaced.items():
        until = f"; the old one is good until {when(before.expires_at)}" if before and before.expires_at else ""
        click.echo(f"The token of {holder} is a new one, in {session.secrets.describe}{until}.")


def _renew_hooks_token(session: Session, *, due: bool) -> IssuedToken | None:
    """The git hooks cannot replace theirs themselves: it is good for merge checks alone."""
    if not (session.workspace.repositories_file.exists() or session.workspace.hooks_token.exists()):
        return None
    settings = load(RotationSettings, environ=session.environ, workspace=session.workspace)
    age = timedelta(seconds=settings.token_rotation_seconds) if due else timedelta(0)
    overlap = timedelta(seconds=settings.token_overlap_seconds)
    with session.connected() as connected:
        return keep_good(session.workspace, connected, age=age, overlap=overlap, now=session.clock.now())


@command.command("list")
@click.option("--all", "all_of_them", is_flag=True, help="Also those that are good for nothing any more.")
@json_option
@click.pass_obj
def list_tokens(session: Session, all_of_them: bool, as_json: bool) -> None:
    """List the tokens: whose, what for, and when they were last used."""
    with session.connected() as connected:
        listed = connected.call(connected.safety.list_tokens())
    now = session.clock.now()
    tokens = [one for one in listed if all_of_them or not _ended(one, now)]
    if as_json:
        emit({"tokens": documents(tokens)})
        return
    rows = [
        (
            token.id,
            token.name,
            _good_until(token),
            when(token.last_used_at),
            ",".join(sorted(token.scopes)),
        )
        for token in tokens
    ]
    table(("ID", "NAME", "GOOD UNTIL", "LAST USED", "SCOPES"), rows)


def _ended(token: TokenView, now: datetime) -> bool:
    gone = token.revoked_at is not None or token.used_at is not None
    return gone or (token.expires_at is not None and token.expires_at <= now)


def _good_until(token: TokenView) -> str:
    if token.revoked_at or token.used_at:
        return "revoked" if token.revoked_at else "used"
    return when(token.expires_at) if token.expires_at else "no end"


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
