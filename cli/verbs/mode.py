"""`quantum mode`: shows the operating mode, and moves it up or down the ladder."""

from __future__ import annotations

import click

from cli.options import json_option
from cli.output.documents import document
from cli.output.printing import emit, printable, when
from cli.session import Connected, Session
from clients.safety_values import ModeChange, ModeStatus
from foundation.errors import Unavailable

LADDER = ("NORMAL", "GUARDED", "DRAIN", "FROZEN", "STOPPED")
_MEANS = {
    "NORMAL": "Work flows.",
    "GUARDED": "No new spend and no new merges; everything else goes on.",
    "DRAIN": "Nothing new starts; what runs goes on to its end.",
    "FROZEN": "Nothing new starts, and what runs is frozen where it is.",
    "STOPPED": "Everything is ended, and nothing starts.",
}


@click.command()
@click.argument(
    "to", type=click.Choice(["show", *(mode.lower() for mode in LADDER)], case_sensitive=False), default="show"
)
@click.option("--reason", default="set by hand", show_default=True, help="Why; kept with the mode.")
@json_option
@click.pass_obj
def command(session: Session, to: str, reason: str, as_json: bool) -> None:
    """Show the mode, or go TO another: normal, guarded, drain, frozen, stopped.

    guarded: no new spend, no new merges. drain: nothing new starts. frozen: what runs is frozen and goes on when the
    mode does. stopped: as `quantum stop --all`, which proves it, too, and needs no service. It holds over restarts.
    """
    with session.connected() as connected:
        before = _asked(connected)
        change = ModeChange(status=before, changed=False) if to == "show" else _go(connected, before, to, reason)
    if as_json:
        emit({"changed": change.changed, "before": before.mode, "mode": document(change.status)})
        return
    _say(change.status)
    if change.changed:
        click.echo(f"  undo: quantum mode {before.mode.lower()}")


def _asked(connected: Connected) -> ModeStatus:
    try:
        return connected.call(connected.safety.get_mode())
    except Unavailable as error:
        raise Unavailable(
            error.code,
            f"Safety, which keeps the mode, cannot be asked: {error.message}",
            remedy="Without it: quantum queue pause (nothing new starts), quantum stop --all (everything ends).",
        ) from error


def _go(connected: Connected, before: ModeStatus, to: str, reason: str) -> ModeChange:
    """Tighten or loosen, whichever it is; each needs a right of its own."""
    wanted = to.upper()
    if LADDER.index(wanted) >= LADDER.index(before.mode):
        return connected.call(connected.safety.tighten_mode(wanted, reason=reason))
    return connected.call(connected.safety.resume_mode(wanted, reason=reason))


def _say(status: ModeStatus) -> None:
    by = f" by {status.actor}" if status.actor else ""
    since = f" since {when(status.since)}" if status.since else ""
    why = f": {printable(status.reason)}" if status.reason else "."
    click.echo(f"The mode is {status.mode}{since}{by}{why}")
    click.echo(f"  {_MEANS[status.mode]}")
    if status.stop_file:
        click.echo("  .quantum/STOP is there.")
    if status.mode != "NORMAL":
        click.echo("  → quantum resume goes back to NORMAL")
