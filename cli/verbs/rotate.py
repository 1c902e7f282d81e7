"""`quantum rotate`: put new keys in the place of old ones, begin the logs anew."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.groups import Group
from cli.options import dry_run_option, json_option
from cli.output.printing import emit
from cli.session import Session
from foundation.quantities import format_size
from foundation.settings import load


@click.group(cls=Group)
def command() -> None:
    """Put new keys in the place of old ones, or begin the logs anew."""


@command.command()
@dry_run_option
@json_option
@click.pass_obj
def key(session: Session, dry_run: bool, as_json: bool) -> None:
    """Encrypt both databases with a new key. The system must be down; a crash at any point loses nothing."""
    from cli.keys.key_rotation import rotate_key
    from cli.keys.recovery_key import readable

    if dry_run:
        _say_dry(session, as_json)
        return
    shown: list[str] = []

    def show(new: str) -> None:
        shown.append(readable(new))
        if not as_json:
            click.echo(f"The new recovery key, shown this once:\n\n  {shown[0]}\n")

    done = rotate_key(session.workspace, session.secrets, session.environ, show=show)
    if as_json:
        emit(
            {
                "dry_run": False,
                "recovery_key": shown[0],
                "resumed": done.resumed,
                "copies_removed": done.copies_removed,
                "undo": None,
            }
        )
        return
    went_on = " (a change that had been cut short was brought to its end)" if done.resumed else ""
    click.echo(f"2 databases are encrypted with the new key{went_on}; the old one opens nothing here any more.")
    if done.copies_removed:
        click.echo(f"  {done.copies_removed} copies from before a migration went with it.")
    click.echo("  Backups from before need the old recovery key: keep both. There is no undo but another rotation.")


@command.command()
@dry_run_option
@json_option
@click.pass_obj
def logs(session: Session, dry_run: bool, as_json: bool) -> None:
    """Begin every log anew, compress what was there, and remove the oldest beyond logs_bytes_max.

    It happens by itself, too; this is for whoever needs room now, or a clean beginning. The system may be up.
    """
    from cli.logs.rotation import LogSettings, logs_now, rotate_logs

    if dry_run:
        count, size = logs_now(session.workspace)
        if as_json:
            emit({"dry_run": True, "logs": count, "bytes": size, "undo": None})
        else:
            click.echo(f"{count} logs would begin anew; all of them take {format_size(size)}. Nothing was changed.")
        return
    done = rotate_logs(session.workspace, load(LogSettings, workspace=session.workspace))
    if as_json:
        emit({"dry_run": False, **asdict(done), "undo": None})
        return
    before, after = format_size(done.bytes_before), format_size(done.bytes_after)
    click.echo(f"{done.renamed} logs begin anew; all together took {before} and take {after}.")
    if done.left:
        click.echo(f"  {done.left} are compressed in the next seconds, by the runner that keeps them.")
    if done.removed:
        click.echo(f"  The oldest {done.removed} are gone: there is room for no more (logs_bytes_max).")


def _say_dry(session: Session, as_json: bool) -> None:
    workspace = session.workspace
    databases = [path for path in (workspace.coordinator_db, workspace.safety_db) if path.exists()]
    size = sum(path.stat().st_size for path in databases)
    if as_json:
        emit({"dry_run": True, "databases": len(databases), "bytes": size, "undo": None})
    else:
        click.echo(
            f"{len(databases)} databases, {size:,} bytes, would be encrypted with a new key. Nothing was changed."
        )
