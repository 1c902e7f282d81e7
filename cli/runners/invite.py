"""`quantum runner invite`: makes an invitation for a runner on another host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import click

from cli.options import Duration, Pair, json_option
from cli.output.printing import emit, when
from cli.runners.invitation import Invitation
from cli.session import Session
from foundation.addresses import is_loopback, is_wildcard
from foundation.errors import Invalid
from foundation.labels import labels_of
from foundation.rpc.tls import parse_listen
from foundation.settings import load


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachableSettings:
    """Where this workspace's services listen beyond their sockets."""

    coordinator_listen: str
    safety_listen: str
    gateway_host: str
    gateway_port: int


@click.command()
@click.argument("name")
@click.option("--expires", type=Duration(), default="15m", show_default=True, help="How long it is good.")
@click.option("--label", "labels", type=Pair(), multiple=True, help="A label of the runner, like gpu=yes; repeatable.")
@click.option("--address", help="How the other host reaches this one, where the services listen on all addresses.")
@click.option("--replace", is_flag=True, help="Also when there is a runner of that name, which then loses its place.")
@json_option
@click.pass_obj
def command(
    session: Session,
    name: str,
    expires: timedelta,
    labels: Sequence[tuple[str, str]],
    address: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Print an invitation for a runner NAME on another host. It is good once; hand it over on a way that you trust."""
    settings = load(ReachableSettings, environ=session.environ, workspace=session.workspace)
    coordinator = reached_at(settings.coordinator_listen, "coordinator_listen", address)
    safety = reached_at(settings.safety_listen, "safety_listen", address)
    wanted = labels_of({}, "", [f"{key}={value}" for key, value in labels])
    with session.connected() as connected:
        made = connected.call(connected.safety.runners.invite(name, expires, replace=replace))
    expires_at = made.issued.token.expires_at
    assert expires_at is not None, "an invitation has an end"
    invitation = Invitation(
        name=name,
        expires_at=expires_at,
        coordinator=coordinator,
        safety=safety,
        token=made.issued.text,
        identity=made.identity.decode(),
        labels=wanted,
        gateway=_gateway(settings, address),
    )
    if as_json:
        shown = {"name": name, "id": made.issued.token.id, "expires_at": expires_at.isoformat()}
        emit({"invitation": invitation.text(), **shown, "coordinator": coordinator, "safety": safety})
        return
    click.echo(invitation.text(), nl=False)
    # On standard error, so that `quantum runner invite NAME > FILE` holds the invitation alone.
    click.echo(f"An invitation for runner “{name}”, good once, until {when(expires_at)}. On the other host:", err=True)
    click.echo("  quantum runner join --from FILE        or --from -, to paste it", err=True)
    click.echo(f"  undo: quantum runner remove {name}", err=True)


def reached_at(listen: str, setting: str, address: str | None) -> str:
    """`host:port` as seen from the other host. Raises Invalid with the lines to type where it cannot be reached."""
    if not listen:
        raise Invalid(
            "not_reachable",
            f"No other host can reach this workspace: {setting} is not set.",
            remedy=(
                'Put  "coordinator_listen": "0.0.0.0:5006", "safety_listen": "0.0.0.0:5007",  into '
                "config/agent_config.json, then: quantum down && quantum up --detach"
            ),
        )
    host, port = parse_listen(listen, setting)
    if address is None and is_wildcard(host):
        raise Invalid(
            "which_address",
            f"{setting} is {listen}, which is every address of this machine.",
            remedy="Say by which one the other host reaches it: --address NAME-OR-ADDRESS",
        )
    reached = address or host
    return f"[{reached}]:{port}" if ":" in reached else f"{reached}:{port}"


def _gateway(settings: ReachableSettings, address: str | None) -> str:
    if is_loopback(settings.gateway_host):
        return ""
    host = address if address and is_wildcard(settings.gateway_host) else settings.gateway_host
    return f"{host}:{settings.gateway_port}"
