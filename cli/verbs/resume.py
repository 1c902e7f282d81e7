"""`quantum resume`: lets things start again after a stop; the mode first, then the file."""

from __future__ import annotations

import click

from cli.options import json_option, reason_option
from cli.output.documents import document
from cli.output.printing import emit
from cli.session import Session
from foundation.errors import Unavailable
from foundation.stop_file import StopFile


@click.command()
@reason_option
@json_option
@click.pass_obj
def command(session: Session, reason: str, as_json: bool) -> None:
    """Undo `quantum stop --all`. Needs safety: what loosens is never done behind its back."""
    stop_file = StopFile(session.workspace.stop_file)
    with session.connected() as connected:
        try:
            change = connected.call(connected.safety.resume_mode(reason=reason))
        except Unavailable as error:
            raise Unavailable(
                error.code,
                f"Safety cannot be asked, and nothing is loosened without it: {error.message}",
                remedy="quantum up --detach starts it (still stopped); then quantum resume.",
            ) from error
    cleared = stop_file.clear()
    if as_json:
        emit({"changed": change.changed or cleared, "mode": document(change.status)})
    elif change.changed or cleared:
        click.echo(f"The mode is {change.status.mode}; what waits is started again. Undo: quantum stop --all")
    else:
        click.echo(f"Nothing was stopped: the mode is {change.status.mode}.")
