"""`quantum alerts`: what people were told, who looks after it, and whether the ways are open."""

from __future__ import annotations

from datetime import timedelta

import click

from cli.groups import Group
from cli.options import json_option
from cli.output.documents import document, documents
from cli.output.printing import emit, lately, table
from cli.session import Session
from clients.safety_alerts_values import AlertList, ChannelView

_TEST_TIMEOUT = timedelta(seconds=45)
UNDELIVERED = 1
"""The exit code of `test` when a channel did not carry the message."""


@click.group(cls=Group, invoke_without_command=True)
@click.option("--all", "all_of_them", is_flag=True, help="Also those whose cause is gone.")
@json_option
@click.pass_context
def command(ctx: click.Context, all_of_them: bool, as_json: bool) -> None:
    """Show what needs a person. The channels are those of config/alert_config.json."""
    if ctx.invoked_subcommand is not None:
        return
    session: Session = ctx.obj
    with session.connected() as connected:
        found = connected.call(connected.safety.alerts.list())
    shown = [alert for alert in found.alerts if all_of_them or alert.resolved_at is None]
    if as_json:
        emit({"alerts": documents(shown), "channels": documents(found.channels)})
        return
    now = session.clock.now()
    if not shown:
        click.echo("No alert is open.")
    else:
        table(
            ("LEVEL", "LAST", "TIMES", "CAUSE", "WHO", "WHAT"),
            [
                (
                    "over" if alert.resolved_at else alert.level,
                    lately(alert.last_at, now),
                    str(alert.count),
                    alert.cause,
                    alert.acknowledged_by or "-",
                    f"{alert.sentence} {alert.remedy}".strip(),
                )
                for alert in shown
            ],
        )
    _say_faults(found)


def _say_faults(found: AlertList) -> None:
    for channel in found.channels:
        if channel.fault:
            click.echo(f"The channel {channel.name} did not carry its last message: {channel.fault}", err=True)


@command.command()
@click.argument("cause")
@json_option
@click.pass_obj
def acknowledge(session: Session, cause: str, as_json: bool) -> None:
    """Say that you look after a cause: it is not escalated any more."""
    with session.connected() as connected:
        alert = connected.call(connected.safety.alerts.acknowledge(cause))
    if as_json:
        emit({"alert": document(alert)})
    else:
        click.echo(f"{alert.cause} is looked after by {alert.acknowledged_by}.")


@command.command()
@json_option
@click.pass_obj
def test(session: Session, as_json: bool) -> int:
    """Send a test message through every channel. Exit code 1 when one did not carry it."""
    with session.connected() as connected:
        channels = connected.call(connected.safety.alerts.test(), _TEST_TIMEOUT)
    if as_json:
        emit({"channels": documents(channels)})
    else:
        table(("CHANNEL", "WENT OUT"), [(channel.name, _how(channel)) for channel in channels])
    return UNDELIVERED if any(channel.fault for channel in channels) else 0


def _how(channel: ChannelView) -> str:
    return f"no: {channel.fault}" if channel.fault else "yes"
