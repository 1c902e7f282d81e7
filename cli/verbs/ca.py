"""`quantum ca`: the workspace's own authority, and the certificates by which programs know each other over TCP."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from cli.groups import Group
from cli.keys.authority import make_authority, renew_identities
from cli.options import Duration, json_option
from cli.output.documents import document
from cli.output.printing import emit, table, when
from cli.session import Session
from foundation.authority import CERTIFICATE_LIFETIME, Certificate, describe
from foundation.errors import Conflict, NotFound
from foundation.identity import ROLES
from foundation.signing_apart import open_authority


@click.group(cls=Group)
def command() -> None:
    """The authority of this workspace, and its certificates. Over TCP nothing else is trusted."""


@command.command()
@json_option
@click.pass_obj
def show(session: Session, as_json: bool) -> None:
    """Show the authority, the certificates of the services, and how long each lives."""
    workspace = session.workspace
    if not workspace.authority.exists():
        raise NotFound("no_authority", f"There is no {workspace.authority}.", remedy="quantum ca init")
    paths = {"authority": workspace.authority}
    paths |= {role: path for role in sorted(ROLES) if (path := workspace.identity(role)).exists()}
    found = {what: describe(path.read_bytes()) for what, path in paths.items()}
    if as_json:
        emit({"certificates": [_document(what, paths[what], one) for what, one in found.items()]})
        return
    now = session.clock.now()
    rows = [
        (what, "expired" if one.ends_at <= now else when(one.ends_at), one.fingerprint[:32], str(paths[what]))
        for what, one in found.items()
    ]
    table(("WHAT", "GOOD UNTIL", "SHA-256 (BEGINS)", "FILE"), rows)


@command.command()
@json_option
@click.pass_obj
def init(session: Session, as_json: bool) -> None:
    """Make the authority where there is none; `quantum init` does that too."""
    workspace = session.workspace
    made = make_authority(workspace, session.secrets, now=session.clock.now())
    certificate = describe(workspace.authority.read_bytes())
    if as_json:
        emit({"made": made, "authority": _document("authority", workspace.authority, certificate)})
        return
    verb = "Made" if made else "There is"
    click.echo(f"{verb} the authority {certificate.fingerprint[:32]}…, good until {when(certificate.ends_at)}.")
    click.echo(f"  Its certificate is {workspace.authority}, its key in {session.secrets.describe}.")


@command.command()
@json_option
@click.pass_obj
def renew(session: Session, as_json: bool) -> None:
    """Write the identities of the services anew. `quantum up` does so by itself at half of their life."""
    written = renew_identities(
        session.workspace, session.secrets, session.environ, now=session.clock.now(), always=True
    )
    if as_json:
        emit({"written": [_document(one.role, session.workspace.identity(one.role), one) for one in written]})
        return
    if not written:
        click.echo("No service listens beyond this machine's sockets, so none needs an identity.")
        click.echo("  coordinator_listen, safety_listen and gateway_host in config/agent_config.json make them listen.")
        return
    for one in written:
        click.echo(f"{one.role}: good until {when(one.ends_at)}, {session.workspace.identity(one.role)}")


@command.command()
@click.option("--role", type=click.Choice(sorted(ROLES)), default="user", show_default=True, help="Who holds it.")
@click.option("--name", required=True, help="Whose it is: a machine or a program.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="File to write; not over one that is there."
)
@click.option("--host", "hosts", multiple=True, help="A host name or address that it is good for too.")
@click.option(
    "--lifetime", type=Duration(), default=f"{CERTIFICATE_LIFETIME.days}d", show_default=True, help="How long it lives."
)
@json_option
@click.pass_obj
def issue(
    session: Session, role: str, name: str, out: Path, hosts: tuple[str, ...], lifetime: timedelta, as_json: bool
) -> None:
    """Issue a certificate and its key, in one file that only you can read."""
    authority = open_authority(session.workspace, session.secrets)
    pem = authority.issue(session.workspace.key12, role, name, now=session.clock.now(), hosts=hosts, lifetime=lifetime)
    try:
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Conflict(
            "file_exists", f"{out} is there already and stays as it is.", remedy="Name another file."
        ) from None
    with os.fdopen(file, "wb") as stream:
        stream.write(pem)
    certificate = describe(pem)
    if as_json:
        emit({"certificate": _document(role, out, certificate)})
        return
    click.echo(f"{out}: {role} {name}, good until {when(certificate.ends_at)}.")
    click.echo("  It cannot be revoked, only not be renewed: keep its life short and the file to yourself.", err=True)


def _document(what: str, path: Path, certificate: Certificate) -> dict[str, Any]:
    return {"what": what, "file": str(path), **document(certificate)}
