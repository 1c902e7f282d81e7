"""`quantum recover`: lets held agents go, starts held services again, and runs again what died of a cause now gone."""

from __future__ import annotations

import click

from cli.incidents.recovering import Recovery, carry_out, plan
from cli.options import agent_names, dry_run_option, json_option
from cli.output.documents import documents
from cli.output.printing import counted, emit, printable, when
from cli.session import Session

IDS_SHOWN = 20


@click.command()
@click.option("--agent", shell_complete=agent_names, help="This one, also when it was forced open, or ended, by hand.")
@click.option("--all", "everything", is_flag=True, help="Every agent that its failures hold, services among them.")
@click.option("--reason", default="recovered by hand", show_default=True, help="Why; kept in each breaker's history.")
@dry_run_option
@json_option
@click.pass_obj
def command(session: Session, agent: str | None, everything: bool, reason: str, dry_run: bool, as_json: bool) -> None:
    """Reset the breakers of held agents, so that what waits for them starts; start services again that are held or were
    ended; run dead tasks again, as new ones that name them. Says what it leaves, and why. Causes it cannot remove."""
    if bool(agent) == everything:
        raise click.UsageError("Name one with --agent, or say --all.")
    with session.connected() as connected:
        found = plan(connected, agent, now=session.clock.now())
        if not dry_run:
            carry_out(connected, found, reason)
    undo = None if dry_run else found.undo
    if as_json:
        done = {
            "recovered": len(found.breakers) + len(found.services),
            "breakers": documents(found.breakers),
            "services": [service.name for service in found.services],
            "redriven": [task.id for task in found.dead],
            "new_tasks": [*found.started, *found.again],
            "left": documents(found.left),
            "held_by_hand": [one.what for one in found.left if one.why == "forced open by hand"],
            "undo": undo,
        }
        emit({"dry_run": dry_run, **done})
        return
    _say(found, one=bool(agent), dry_run=dry_run)
    if undo:
        click.echo(f"  undo: {undo}")


def _say(found: Recovery, *, one: bool, dry_run: bool) -> None:
    if found.breakers:
        were = "would be" if dry_run else "was" if len(found.breakers) == 1 else "were"
        click.echo(f"{counted(len(found.breakers), 'agent')} {were} let go:")
    for breaker in found.breakers:
        until = f" until {when(breaker.until)}" if breaker.until else ""
        said = f": {printable(breaker.reason)}" if breaker.reason else ""
        click.echo(f"  {breaker.scope.removeprefix('agent:')} was {breaker.state.replace('_', ' ')}{until}{said}")
    if found.services:
        are = "would be" if dry_run else "is" if len(found.services) == 1 else "are"
        click.echo(f"{counted(len(found.services), 'service')} {are} started again:")
    for service in found.services:
        click.echo(f"  {service.name}{f' was {printable(service.held_reason)}' if service.held_reason else ''}")
    if found.dead:
        are = "would be" if dry_run else "is" if len(found.dead) == 1 else "are"
        click.echo(f"{counted(len(found.dead), 'dead task')} {are} run again:")
    for task in found.dead[:IDS_SHOWN]:
        click.echo(f"  {task.id} {task.agent}: {printable(task.reason)}")
    if len(found.dead) > IDS_SHOWN:
        click.echo(f"  and {len(found.dead) - IDS_SHOWN} more")
    if not (found.breakers or found.services or found.dead):
        by_hand = any(left.why == "forced open by hand" for left in found.left)
        click.echo(
            "No agent is held by its failures." if by_hand else "It is not held." if one else "No agent is held."
        )
    for left in found.left:
        click.echo(f"  {printable(left.what)} stays, {printable(left.why)}: {left.line}")
