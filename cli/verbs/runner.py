"""`quantum runner`: the runners of the fleet."""

from __future__ import annotations

import click

from cli.runners import invite, join, remove, start


@click.group()
def command() -> None:
    """The runners of the fleet, here and on other hosts."""


command.add_command(invite.command, "invite")
command.add_command(join.command, "join")
command.add_command(remove.command, "remove")
command.add_command(start.start)
command.add_command(start.stop)
