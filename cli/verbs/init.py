"""`quantum init`: makes a folder a workspace, once, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.first_start import Initialised, initialise, restore_key
from cli.keys.recovery_key import ask_for_key, readable
from cli.options import json_option
from cli.output.printing import emit
from cli.session import Session


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--recovery-key",
    is_flag=True,
    help="Put the recovery key back; it is asked for, or read from standard input, never from the command line.",
)
@click.option(
    "--recover",
    metavar="BACKUP",
    help="After a compromise: take what was known from this backup (a file, an id, latest), and make every key and "
    "token new.",
)
@json_option
@click.pass_obj
def command(session: Session, folder: Path | None, recovery_key: bool, recover: str | None, as_json: bool) -> None:
    """Make FOLDER (else this one) a workspace: keys, databases, a token. A second time changes nothing."""
    root = chosen_root(session, folder)
    environ = session.environ
    if recover:
        _recover(session, root, recover, recovery_key, as_json)
        return
    done = restore_key(root, ask_for_key(), environ) if recovery_key else initialise(root, environ)
    if as_json:
        emit(to_document(done))
    else:
        say(done)


def chosen_root(session: Session, folder: Path | None) -> Path:
    """The folder to make a workspace: the one typed, else QUANTUM_WORKSPACE, else this one."""
    named = folder or Path(session.environ.get("QUANTUM_WORKSPACE") or ".")
    return (session.cwd / named.expanduser()).resolve()


def to_document(done: Initialised) -> dict[str, Any]:
    """What was made; the recovery key only when it was made now."""
    return {
        "workspace": str(done.workspace.root),
        "made": list(done.made),
        "secrets": done.secrets,
        "recovery_key": readable(done.recovery_key) if done.recovery_key else None,
    }


def say(done: Initialised) -> None:
    """Tell a person what was made, where the secrets lie, and what comes next."""
    root = done.workspace.root
    if not done.made:
        click.echo(f"{root} is a workspace, and nothing is missing. Its secrets lie in: {done.secrets}.")
        return
    click.echo(f"{root} is a workspace. Made now:")
    for made in done.made:
        click.echo(f"  {made}")
    click.echo(f"The secrets lie in: {done.secrets}.")
    if done.recovery_key:
        click.echo("\nThe recovery key. It is shown this once; without it a lost keychain means lost databases:\n")
        click.echo(f"  {readable(done.recovery_key)}\n")
    click.echo("Next:")
    click.echo("  quantum up --detach    starts everything")
    click.echo("  quantum agents         shows what can be run")
    click.echo("  quantum run hello      runs one")


def _recover(session: Session, root: Path, wanted: str, recovery_key: bool, as_json: bool) -> None:
    from cli.backups.recovering import recover

    shown: list[str] = []

    def show(key: str) -> None:
        shown.append(key)
        if not as_json:
            click.echo(f"The new recovery key, shown this once; the old one opens nothing here any more:\n\n  {key}\n")

    typed = ask_for_key() if recovery_key else None
    restored, made = recover(root, wanted, typed, session.environ, cwd=session.cwd, clock=session.clock, show=show)
    if as_json:
        undo = f"quantum restore {restored.before.name}" if restored.before else None
        emit(
            {
                **to_document(made),
                "recovery_key": shown[0],
                "restored": restored.source.id,
                "open_tasks": dict(restored.tasks),
                "mode": restored.mode,
                "before": str(restored.before) if restored.before else None,
                "undo": undo,
            }
        )
        return
    click.echo(f"{root} is a clean workspace with what {restored.source.id} knew. New: the databases' key, the audit")
    click.echo("log's, every token, the authority for certificates. Whoever held an old one is shut out.")
    click.echo(
        f"  The mode is {restored.mode}. Set the agents' secrets anew (quantum secret set), invite runners again,"
    )
    click.echo("  give people new tokens (quantum token issue), and look over agents/ and config/ before quantum up.")
    if restored.before:
        click.echo(f"  What was here before is kept in {restored.before}.")
