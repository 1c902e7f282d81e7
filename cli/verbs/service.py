"""`quantum service`: the workspace as services of the operating system, which survive a reboot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.first_start import require_initialised
from cli.groups import Group
from cli.options import dry_run_option, json_option
from cli.output.printing import counted, emit, printable, table
from cli.processes.identity import to_json
from cli.processes.running import read_running, targets
from cli.service import acting
from cli.service.gone import CURE, gone
from cli.service.ports import Standing
from cli.service.upkeep import keep_up
from cli.session import Session
from foundation.errors import NotFound
from foundation.known_settings import KNOWN

EXIT_NOT_HEALTHY = 69


@click.group(cls=Group)
def command() -> None:
    """The workspace as services of the operating system: started at login, restarted when they end, kept apart."""


@command.command()
@click.option("--no-start", is_flag=True, help="Write the units and start nothing.")
@dry_run_option
@json_option
@click.pass_obj
def install(session: Session, no_start: bool, dry_run: bool, as_json: bool) -> None:
    """Write the units of this workspace, start them, and return once everything is healthy."""
    workspace = session.workspace
    require_initialised(workspace)
    running = read_running(workspace)
    if not (no_start or dry_run):
        acting.standing(workspace, session.environ)  # a manager that is not there is told before anything is written
    written = acting.install(workspace, session.environ, dry_run=dry_run)
    fresh = len(written.files) - len(written.unchanged)
    if not (no_start or dry_run):
        acting.start_units(workspace, session.environ, clock=session.clock)
    if as_json:
        emit(
            {
                "dry_run": dry_run,
                "manager": written.manager,
                "files": [str(path) for path in written.files],
                "unchanged": len(written.unchanged),
                "started": not (no_start or dry_run),
                "undo": "quantum service uninstall",
            }
        )
        return
    would = "would be written" if dry_run else "written"
    click.echo(f"{counted(fresh, 'file')} {would} for {written.manager} in {written.files[0].parent}", nl=False)
    click.echo(f", {len(written.unchanged)} were there as they should be." if written.unchanged else ".")
    if dry_run:
        return
    if no_start:
        click.echo("  quantum service start      starts them, now and at every login")
    else:
        click.echo("Everything is healthy.")
        _advise(session)
    if fresh and running is not None and running.units:
        click.echo("  quantum service restart    has those that ran already take up what changed")
    if unseen := _unseen(session):
        click.echo(f"  Set in this shell and not for the services: {', '.join(unseen)}.")
        click.echo(f"  What they are to honour belongs into {workspace.config_file}.")
    click.echo("  undo: quantum service uninstall")
    _say_gone(session)


@command.command()
@click.option(
    "--gone", "of_gone", is_flag=True, help="Instead, those of workspaces whose folder is gone, or was moved."
)
@dry_run_option
@json_option
@click.pass_obj
def uninstall(session: Session, of_gone: bool, dry_run: bool, as_json: bool) -> None:
    """Stop the units and remove their files; the workspace itself stays as it is."""
    environ = session.environ
    left = [one.workspace for one in gone(session.workspace, environ)] if of_gone else [session.workspace]
    files, ended = list[Path](), 0
    for workspace in left:
        if dry_run:
            some, count = acting.own_files(workspace, environ), len(targets(workspace))
        else:
            some, count = acting.uninstall(workspace, environ, clock=session.clock)
        files, ended = [*files, *some], ended + count
    if as_json:
        emit(
            {
                "dry_run": dry_run,
                "removed": [str(path) for path in files],
                "ended": ended,
                "undo": None if of_gone else "quantum service install",
            }
        )
    elif not files:
        click.echo(
            "No workspace is gone and has services." if of_gone else f"{session.workspace.root} has no services."
        )
    elif dry_run:
        click.echo(f"{counted(len(files), 'file')} would be removed and {counted(ended, 'process')} ended.")
    else:
        click.echo(f"{counted(len(files), 'file')} removed, {counted(ended, 'process')} ended, each proved gone.")
        if not of_gone:
            click.echo("  undo: quantum service install")


@command.command()
@json_option
@click.pass_obj
def start(session: Session, as_json: bool) -> None:
    """Start the units, now and at every login; return once everything is healthy."""
    acting.start_units(session.workspace, session.environ, clock=session.clock)
    if as_json:
        emit({"healthy": True, "units": [_to_document(one) for one in _standing(session)]})
    else:
        click.echo("Everything is healthy.  quantum service stop ends it.")


@command.command()
@dry_run_option
@json_option
@click.pass_obj
def stop(session: Session, dry_run: bool, as_json: bool) -> None:
    """End the units and start none by itself until `service start`; queued tasks stay queued."""
    _require_installed(session)
    stop_and_say(session, dry_run=dry_run, as_json=as_json)


@command.command()
@json_option
@click.pass_obj
def restart(session: Session, as_json: bool) -> None:
    """End the units in order and start them again: for what is read only at the start."""
    _require_installed(session)
    acting.require_settings(session.workspace)  # what would not start again is not stopped
    acting.stop_units(session.workspace, session.environ, clock=session.clock)
    acting.start_units(session.workspace, session.environ, clock=session.clock)
    if as_json:
        emit({"healthy": True, "units": [_to_document(one) for one in _standing(session)]})
    else:
        click.echo("Everything is healthy.")


@command.command()
@json_option
@click.pass_obj
def status(session: Session, as_json: bool) -> int:
    """Show how the operating system sees each unit. Exit code 0 when all are active, else 69."""
    seen = _standing(session)
    code = 0 if all(one.state == "active" for one in seen) else EXIT_NOT_HEALTHY
    if as_json:
        emit({"units": [_to_document(one) for one in seen]})
        return code
    _say_gone(session)
    if all(one.state == "absent" for one in seen):
        click.echo(f"{session.workspace.root} has no services. quantum service install makes them.")
        return code
    table(
        ("UNIT", "STATE", "PID", "RESTARTS", "SAYS"),
        [
            (
                one.unit,
                one.state,
                str(one.pid or "-"),
                "-" if one.restarts is None else str(one.restarts),
                printable(one.says),
            )
            for one in seen
        ],
    )
    if any(one.state == "failed" for one in seen):
        click.echo("What failed stays down. Mend what it says, then: quantum service start")
    elif all(one.state == "stopped" for one in seen):
        click.echo("They were stopped, and are not started by themselves: quantum service start")
    else:
        _advise(session)
    return code


@command.command(hidden=True)
@click.pass_obj
def upkeep(session: Session) -> int:
    """Replace old tokens and certificates; the operating system calls this from time to time."""
    return 0 if keep_up(session) else 1


def stop_and_say(session: Session, *, dry_run: bool, as_json: bool) -> None:
    """End the units and say what ended; `quantum down` does the same."""
    workspace = session.workspace
    ended = targets(workspace) if dry_run else acting.stop_units(workspace, session.environ, clock=session.clock)
    if as_json:
        emit({"dry_run": dry_run, "ended": len(ended), "processes": to_json(ended), "undo": "quantum service start"})
        return
    how = "would be ended" if dry_run else "ended, each proved gone"
    click.echo(f"{counted(len(ended), 'process')} {how}. They are services of the operating system:")
    click.echo("  quantum service start      starts them again; nothing else does")
    click.echo("  quantum service uninstall  removes them")


def _advise(session: Session) -> None:
    if advice := acting.manager_of(session.workspace, session.environ).advice():
        click.echo(f"  {advice.says}")
        if advice.line:
            click.echo(f"  → {advice.line}")


def _standing(session: Session) -> list[Standing]:
    return acting.standing(session.workspace, session.environ)


def _say_gone(session: Session) -> None:
    """A workspace that was moved leaves its units behind: they look for it where it was."""
    for one in gone(session.workspace, session.environ):
        click.echo(f"{one.said}  → {CURE}")


def _require_installed(session: Session) -> None:
    if not acting.installed(session.workspace, session.environ):
        raise NotFound(
            "not_installed", f"{session.workspace.root} has no services.", remedy="quantum service install makes them."
        )


def _unseen(session: Session) -> list[str]:
    """Settings of this shell that services do not get, since nobody sets them there after the next login."""
    return sorted(name for name in (f"QUANTUM_{setting.upper()}" for setting in KNOWN) if name in session.environ)


def _to_document(one: Standing) -> dict[str, Any]:
    return {
        "name": one.part.name,
        "process": one.part.process,
        "unit": one.unit,
        "state": one.state,
        "pid": one.pid,
        "restarts": one.restarts,
        "says": one.says or None,
    }
