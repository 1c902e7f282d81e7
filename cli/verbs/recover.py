"""`quantum recover`: lets agents go that their breakers hold, as if they had never failed."""

from __future__ import annotations

import click

from cli.documents import documents
from cli.options import agent_names, dry_run_option, json_option
from cli.printing import counted, emit, printable, when
from cli.session import Connected, Session
from clients.safety_values import BreakerView

_HOLDING = ("open", "half_open", "forced_open")


@click.command()
@click.option("--agent", shell_complete=agent_names, help="This one, also when it was forced open by hand.")
@click.option("--all", "everything", is_flag=True, help="Every agent that its failures hold.")
@click.option("--reason", default="recovered by hand", show_default=True, help="Why; kept in each breaker's history.")
@dry_run_option
@json_option
@click.pass_obj
def command(session: Session, agent: str | None, everything: bool, reason: str, dry_run: bool, as_json: bool) -> None:
    """Reset the breakers of held agents, so that what waits for them starts. Their causes it cannot remove."""
    if bool(agent) == everything:
        raise click.UsageError("Name one with --agent, or say --all.")
    with session.connected() as connected:
        chosen, by_hand = _held(connected, agent)
        if not dry_run:
            for breaker in chosen:
                connected.call(connected.safety.reset_breaker(breaker.scope, reason=reason))
    undo = None if dry_run else " && ".join(f"quantum breaker force-open {one.scope}" for one in chosen) or None
    if as_json:
        left = [one.scope for one in by_hand]
        done = {"recovered": len(chosen), "breakers": documents(chosen), "held_by_hand": left, "undo": undo}
        emit({"dry_run": dry_run, **done})
        return
    _say(chosen, by_hand, one=bool(agent), dry_run=dry_run)
    if undo:
        click.echo(f"  undo: {undo}")


def _held(connected: Connected, agent: str | None) -> tuple[list[BreakerView], list[BreakerView]]:
    """The breakers to be reset, and those that a person has forced open, which only their own name lets go."""
    found = [
        breaker
        for breaker in connected.call(connected.safety.list_breakers(not_closed=True))
        if breaker.scope.startswith("agent:") and breaker.state in _HOLDING
    ]
    if agent:
        # An alias or a slip is caught here; an unknown name would silently mean nothing.
        scope = f"agent:{connected.call(connected.coordinator.get_agent(agent)).name}"
        return [breaker for breaker in found if breaker.scope == scope], []
    by_hand = [breaker for breaker in found if breaker.state == "forced_open"]
    return [breaker for breaker in found if breaker not in by_hand], by_hand


def _say(chosen: list[BreakerView], by_hand: list[BreakerView], *, one: bool, dry_run: bool) -> None:
    if not chosen:
        click.echo(
            "No agent is held by its failures." if by_hand else "It is not held." if one else "No agent is held."
        )
    else:
        were = "would be" if dry_run else "was" if len(chosen) == 1 else "were"
        click.echo(f"{counted(len(chosen), 'agent')} {were} let go:")
    for breaker in chosen:
        until = f" until {when(breaker.until)}" if breaker.until else ""
        said = f": {printable(breaker.reason)}" if breaker.reason else ""
        click.echo(f"  {breaker.scope.removeprefix('agent:')} was {breaker.state.replace('_', ' ')}{until}{said}")
    for breaker in by_hand:
        name = breaker.scope.removeprefix("agent:")
        click.echo(f"  {name} stays, forced open by hand: quantum recover --agent {name}")
