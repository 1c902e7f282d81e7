"""`quantum rotate`: put new keys in the place of old ones."""

from __future__ import annotations

import click

from cli.options import dry_run_option, json_option
from cli.printing import emit
from cli.session import Session


@click.group()
def command() -> None:
    """Put new keys in the place of old ones."""


@command.command()
@dry_run_option
@json_option
@click.pass_obj
def key(session: Session, dry_run: bool, as_json: bool) -> None:
    """Encrypt both databases with a new key. The system must be down; a crash at any point loses nothing."""
    from cli.first_start import readable
    from cli.key_rotation import rotate_key

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
