"""`quantum runner remove`: a runner on another host is of the fleet no more."""

from __future__ import annotations

import click

from cli.options import dry_run_option, json_option
from cli.output.documents import documents
from cli.output.printing import counted, emit
from cli.session import Session
from foundation.errors import NotFound


@click.command()
@click.argument("name")
@dry_run_option
@json_option
@click.pass_obj
def command(session: Session, name: str, dry_run: bool, as_json: bool) -> None:
    """Revoke the credential of a runner that joined, and an open invitation. Its stream ends within a second."""
    with session.connected() as connected:
        if dry_run:
            now = session.clock.now()
            tokens = [
                one
                for one in connected.call(connected.safety.list_tokens())
                if one.runner == name
                and not (one.revoked_at or one.used_at or (one.expires_at and one.expires_at <= now))
            ]
            if not tokens:
                raise NotFound("no_runner", f"There is no runner “{name}” that joined, and no invitation for one.")
        else:
            tokens = list(connected.call(connected.safety.runners.remove(name)))
    if as_json:
        emit({"dry_run": dry_run, "tokens": documents(tokens)})
        return
    verb = "would be" if dry_run else "are" if len(tokens) > 1 else "is"
    click.echo(f"{counted(len(tokens), 'credential')} of “{name}” {verb} revoked; what it runs ends by itself.")
    click.echo(f"  to have it back: quantum runner invite {name}")
