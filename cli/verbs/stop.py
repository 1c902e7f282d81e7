"""`quantum stop --all`: ends everything at once, keeps it ended, and says what it verified."""

from __future__ import annotations

import click

from cli.incidents.stopping import Stopped, stop_everything
from cli.options import dry_run_option, json_option
from cli.output.printing import counted, emit
from cli.processes.identity import of_agents
from cli.session import Session

EXIT_LEFT = 70


@click.command()
@click.option("--all", "everything", is_flag=True, help="Everything; there is no other stop.")
@click.option("--reason", default="stopped by hand", show_default=True, help="Why; kept in .quantum/STOP.")
@dry_run_option
@json_option
@click.pass_obj
def command(session: Session, everything: bool, reason: str, dry_run: bool, as_json: bool) -> int:
    """Kill every running task and let nothing start, also after a restart, until `quantum resume`."""
    if not everything:
        raise click.UsageError(
            "Say --all: this ends everything that runs. For less: quantum cancel, quantum queue pause, quantum down."
        )
    session.in_emergency = True
    if dry_run:
        running = of_agents(session.workspace.root)
        if as_json:
            emit({"dry_run": True, "processes": len(running), "pids": [one.pid for one in running]})
        else:
            click.echo(f"{counted(len(running), 'process')} of agents would be ended, and nothing would start.")
        return 0
    stopped = stop_everything(session, reason)
    if as_json:
        emit(_to_document(stopped))
    else:
        _say(stopped)
    return EXIT_LEFT if stopped.left or any(stopped.runners.values()) else 0


def _to_document(stopped: Stopped) -> dict[str, object]:
    return {
        "dry_run": False,
        "stopped": not stopped.left,
        "processes_before": stopped.running_before,
        "processes_left": [one.pid for one in stopped.left],
        "killed_by_this_command": stopped.killed_here,
        "seconds": round(stopped.seconds, 3),
        "stop_file": {"who": stopped.order.who, "why": stopped.order.why},
        "safety": {"told": stopped.safety_told, "said": stopped.safety_said or None},
        "coordinator_counts_running": stopped.coordinator_counts,
        "runners_hold": dict(stopped.runners),
    }


def _say(stopped: Stopped) -> None:
    click.echo(f"The order to stop stands in .quantum/STOP, from {stopped.order.who}: {stopped.order.why}.")
    if not stopped.safety_told:
        click.echo(f"  ! Safety could not be told ({stopped.safety_said}) The file alone holds.")
    if stopped.left:
        pids = ", ".join(str(one.pid) for one in stopped.left)
        click.echo(f"  ✗ After {stopped.seconds:.1f} s these processes of agents still run: {pids}.")
        click.echo("    → ps -fp with those numbers shows what holds them; quantum stop --all tries again.")
    else:
        before = counted(stopped.running_before, "process")
        click.echo(f"  ✓ No process of an agent is left, of {before} before; seen after {stopped.seconds:.1f} s.")
    if stopped.killed_here:
        click.echo(f"  ! {counted(stopped.killed_here, 'process')} had to be killed by this command.")
    if stopped.coordinator_counts is not None:
        click.echo(
            f"  {_mark(stopped.coordinator_counts)} The coordinator counts {stopped.coordinator_counts} running."
        )
    for name, held in stopped.runners.items():
        said = "cannot be asked" if held is None else f"holds {counted(held, 'process')}"
        click.echo(f"  {_mark(held)} {name} {said}.")
    click.echo("Nothing starts, also after a restart, until: quantum resume")


def _mark(number: int | None) -> str:
    return "✓" if number == 0 else "!"
