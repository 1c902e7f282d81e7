"""`quantum restore`: puts a backup back, at one moment, while nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.keys.recovery_key import ask_for_key
from cli.options import dry_run_option, json_option
from cli.output.printing import emit
from cli.session import Session

if TYPE_CHECKING:
    from cli.backups.checking import Findings
    from cli.backups.restoring import Restored


@click.command()
@click.argument("wanted")
@click.option(
    "--recovery-key",
    is_flag=True,
    help="Open it with the recovery key, which is asked for, or read from standard input, never typed as an argument.",
)
@click.option(
    "--tokens",
    type=click.Choice(["as-then", "new"]),
    help="Where nothing here tells which tokens were revoked since: as-then, they are as they were; new, none of them "
    "is good any more, and yours and the services' are made anew.",
)
@dry_run_option
@json_option
@click.pass_obj
def command(
    session: Session, wanted: str, recovery_key: bool, tokens: str | None, dry_run: bool, as_json: bool
) -> None:
    """Put back WANTED: latest, the id of a backup, its file, or what an earlier restore has set aside.

    Queue, breakers, budgets, spend, mode, tokens and audit log become what they were; but what has closed since stays
    closed: revoked tokens, a stricter mode, breakers held open, money spent. The state before is kept.
    """
    from cli.backups.finding import find, key_for
    from cli.backups.restoring import rehearse, restore
    from cli.backups.staging import Tokens
    from cli.processes.running import require_nothing_runs
    from cli.runners.folder import refuse_joined

    workspace = session.workspace
    refuse_joined(workspace.root)
    source = find(workspace, wanted, session.cwd, session.environ)
    if not dry_run:
        require_nothing_runs(workspace)
    key = key_for(source, workspace, session.secrets, ask_for_key() if recovery_key else None)
    if dry_run:
        found = rehearse(workspace, session.secrets, session.environ, source, key)
        _say_dry(source.id, found, as_json)
        return
    chosen = Tokens(tokens) if tokens else None
    done = restore(workspace, session.secrets, session.environ, source, key, clock=session.clock, tokens=chosen)
    if as_json:
        emit(to_document(done))
    else:
        say(done)


def to_document(done: Restored) -> dict[str, Any]:
    """What was put back, and how to go back."""
    return {
        "id": done.source.id,
        "made_at": done.source.made_at.isoformat(),
        "open_tasks": dict(done.tasks),
        "mode_before": done.mode_before,
        "mode": done.mode,
        "before": str(done.before) if done.before else None,
        "undo": f"quantum restore {done.before.name}" if done.before else None,
        "configuration_differs": list(done.configuration),
        "notes": list(done.notes),
        "carried": list(done.carried),
        "revocations_unknown": done.unknown or None,
        "new_tokens": done.fresh,
        "dry_run": False,
    }


def say(done: Restored) -> None:
    """Tell a person what holds now and what does not."""
    source = done.source
    click.echo(f"{source.id} is put back: everything is as it was at {source.made_at:%Y-%m-%d %H:%M:%S} UTC.")
    waiting = done.tasks.get("needs_decision", 0)
    again = sum(count for state, count in done.tasks.items() if state != "needs_decision")
    click.echo(f"  {again} open tasks go on by themselves; {waiting} wait for you, for they may have run since.")
    if waiting:
        click.echo("    quantum tasks --state needs_decision    then quantum decide")
    click.echo(f"  The mode is {done.mode}; it was {done.mode_before} then.")
    for sentence in done.carried:
        click.echo(f"  {sentence}")
    if done.unknown:
        click.echo(f"  {done.unknown}: what was spent, revoked or held since is not known (quantum token list).")
    if done.fresh:
        click.echo(
            f"  {done.fresh} of the workspace's own tokens are new, for the backup's have ended: quantum token show."
        )
    for name in done.configuration:
        click.echo(f"  config/{name} differs from the backup's; yours was left as it is.")
    for note in done.notes:
        click.echo(f"  As it was already: {note}")
    if done.before:
        click.echo(f"  What was here before is kept in {done.before}.")
        click.echo(f"    quantum restore {done.before.name}    goes back to it")
    click.echo("Next: quantum up --detach, look, then quantum resume.")


def _say_dry(backup_id: str, found: Findings, as_json: bool) -> None:
    if as_json:
        unknown = found.unknown or None
        emit(
            {
                "id": backup_id,
                "dry_run": True,
                "faults": list(found.faults),
                "revocations_unknown": unknown,
                "undo": None,
            }
        )
    elif found.faults:
        click.echo(f"{backup_id} cannot be restored: {' '.join(found.faults)} Nothing was changed.")
    else:
        click.echo(f"{backup_id} is whole and would be restored. Nothing was changed.")
        if found.unknown:
            click.echo(f"  {found.unknown}: it needs --tokens new or --tokens as-then.")
    if found.faults:
        raise click.exceptions.Exit(1)
