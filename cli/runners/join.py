"""`quantum runner join`: makes this host's runner a member of a fleet elsewhere, and starts it."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import debug_option, json_option
from cli.output.printing import emit
from cli.runners.folder import RunnerFolder
from cli.runners.invitation import Invitation
from cli.runners.start import detach, run_here, say_started
from cli.session import Session
from foundation.errors import Denied, Invalid, TimedOut, Unauthenticated, Unavailable
from foundation.workspace import Workspace

if TYPE_CHECKING:
    from clients.safety_runners import JoinedView

_CALL_TIMEOUT = timedelta(seconds=35)
_BYTES_MAX = 64 * 1024


@click.command()
@click.option("--from", "source", required=True, help="The file of the invitation; - reads it from standard input.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where it shall live; else ./quantum-runner-NAME.")
@click.option("--name", help="Its name; that of the invitation, which is good for no other.")
@click.option("--detach", "detached", is_flag=True, help="Return when it is attached, and leave it running.")
@click.option("--no-start", is_flag=True, help="Only join; `quantum runner start` starts it.")
@debug_option
@json_option
@click.pass_obj
def command(
    session: Session,
    source: str,
    folder: Path | None,
    name: str | None,
    detached: bool,
    no_start: bool,
    debug: bool,
    as_json: bool,
) -> None:
    """Join a fleet on another host by an invitation, and run its tasks here. Ctrl-C ends the runner."""
    invitation = Invitation.parse(_read(session, source))
    wanted = name or invitation.name
    root = (session.cwd / (folder or Path(f"quantum-runner-{wanted}")).expanduser()).resolve()
    runner = RunnerFolder(Workspace(root))
    runner.prepare(wanted)
    secrets = session.secrets_of(runner.workspace)
    from foundation.authority import make_key, request_for

    key = make_key()
    joined = _ask(invitation, wanted, request_for(key), now=session.clock.now())
    runner.keep(
        invitation,
        secrets,
        key=key,
        certificate=joined.certificate,
        token=joined.issued.text,
        now=session.clock.now(),
    )
    if not as_json:
        click.echo(f"Joined as “{wanted}”; it lives in {root}, its secrets in {secrets.describe}.")
    if detached and not no_start:
        say_started(runner, detach(session, runner, debug=debug), as_json=as_json)
        return
    if as_json:
        emit({"name": wanted, "folder": str(root), "pid": None})
    if not no_start:
        run_here(session, runner, debug=debug)


def _read(session: Session, source: str) -> str:
    if source == "-":
        return sys.stdin.read(_BYTES_MAX)
    path = session.cwd / Path(source).expanduser()
    try:
        return path.read_text(encoding="utf-8")[:_BYTES_MAX]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Invalid("no_invitation_file", f"{path} cannot be read: {why}.") from error


def _ask(invitation: Invitation, name: str, request: bytes, *, now: datetime) -> JoinedView:
    """Use the invitation up. Raises what safety says; what a failed handshake may mean, in a sentence."""
    from clients.safety import SafetyClient
    from foundation.identity import Identity
    from foundation.loop import BackgroundLoop
    from foundation.rpc.channel import TcpTarget

    identity = Identity.parse(invitation.identity.encode(), source="the invitation")
    target = TcpTarget(invitation.safety, "safety", identity)

    async def ask() -> JoinedView:
        async with SafetyClient.dial(target, token=lambda: invitation.token) as safety:
            return await safety.runners.join(name, request)

    again = f"Have a new one made: quantum runner invite {invitation.name}, on the coordinator's machine."
    with BackgroundLoop("join") as loop:
        try:
            return loop.run(ask(), _CALL_TIMEOUT)
        except (Unavailable, TimedOut) as error:
            if now >= invitation.expires_at:
                said = f"This invitation was good until {invitation.expires_at:%Y-%m-%d %H:%M} UTC."
                raise Unauthenticated("token_expired", said, remedy=again) from error
            raise Unavailable(
                "safety_not_reached",
                f"Safety was not reached at {invitation.safety}, or is not the one that the invitation is of.",
                remedy="Is that address open to this host, and is everything up there? The invitation is still good.",
            ) from error
        except (Denied, Unauthenticated) as error:
            raise type(error)(error.code, error.message, remedy=error.remedy or again) from error
