"""`quantum isolate`: after a break-in, or the fear of one: nothing runs, nobody gets in, the way back is printed."""

from __future__ import annotations

import click

from cli.incidents.isolating import Isolated, isolate
from cli.options import dry_run_option, json_option
from cli.output.printing import counted, emit, printable
from cli.processes.identity import of_agents
from cli.processes.running import targets
from cli.session import Session

EXIT_UNDONE = 70


@click.command()
@click.option(
    "--reason", default="isolated by hand", show_default=True, help="Why; in .quantum/STOP and the audit log."
)
@dry_run_option
@json_option
@click.pass_obj
def command(session: Session, reason: str, dry_run: bool, as_json: bool) -> int:
    """End everything at once, unload the services, revoke every token and make you a fresh one.

    Agents get a second, services two. Works with any part away, and may be repeated: what was cut short is done again.
    Exit code 70 when something could not be done, which is named.
    """
    session.in_emergency = True
    if dry_run:
        ended = len({one.pid for one in (*targets(session.workspace).values(), *of_agents(session.workspace.root))})
        if as_json:
            emit({"dry_run": True, "processes": ended})
        else:
            click.echo(f"{counted(ended, 'process')} would be ended, every token revoked, and yours replaced.")
        return 0
    done = isolate(session, reason)
    if as_json:
        emit(_to_document(done))
    else:
        _say(done)
    return EXIT_UNDONE if done.faults else 0


def _to_document(done: Isolated) -> dict[str, object]:
    return {
        "dry_run": False,
        "isolated": not done.faults,
        "seconds": round(done.seconds, 3),
        "processes_ended": done.ended,
        "processes_killed": done.killed,
        "processes_left": [one.pid for one in done.left],
        "units_unloaded": done.units_unloaded,
        "gateway_closed": done.gateway_closed,
        "tokens_revoked": done.revoked,
        "tokens_new": list(done.fresh),
        "faults": done.faults,
        "way_back": list(_way_back(done)),
    }


def _say(done: Isolated) -> None:
    click.echo(f"The order to stop stands in .quantum/STOP, from {done.stopped_by}.")
    killed = f", {done.killed} of them killed" if done.killed else ""
    click.echo(f"  {_mark(not done.left)} {counted(done.ended, 'process')} ended{killed}; {len(done.left)} left.")
    click.echo(
        f"  ✓ {'The units are unloaded.' if done.units_unloaded else 'No units of this workspace are installed.'}"
    )
    click.echo(f"  {_mark(done.gateway_closed)} The gateway's port is {'closed' if done.gateway_closed else 'open'}.")
    if done.revoked is not None:
        click.echo(f"  ✓ {counted(done.revoked, 'token')} revoked, those of runners elsewhere and of git hooks too.")
        click.echo("  ✓ Your token is a new one, and so is each service's: quantum token show")
    for fault in done.faults:
        click.echo(f"  ✗ {printable(fault)}")
    click.echo(f"After {done.seconds:.1f} s." + (" Once that is mended: quantum isolate" if done.faults else ""))
    click.echo("The way back, when the cause is removed:")
    for line in _way_back(done):
        click.echo(f"  {line}")


def _way_back(done: Isolated) -> tuple[str, str]:
    """Start everything, which stays stopped, and then let it work."""
    return ("quantum service start" if done.units_unloaded else "quantum up --detach", "quantum resume")


def _mark(good: bool) -> str:
    return "✓" if good else "✗"
