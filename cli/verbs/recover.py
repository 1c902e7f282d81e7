"""`quantum recover`: lets agents go that their breakers hold, and starts services again that are held."""

from __future__ import annotations

from dataclasses import dataclass, field

import click

from cli.documents import documents
from cli.options import agent_names, dry_run_option, json_option
from cli.printing import counted, emit, printable, when
from cli.session import Connected, Session
from clients.coordinator_values import AgentState, AgentView, TaskSpec
from clients.safety_values import BreakerView
from foundation.ids import random_bytes

_HOLDING = ("open", "half_open", "forced_open")


@dataclass(slots=True)
class _Chosen:
    """What is to be let go, and what stays."""

    breakers: list[BreakerView]
    by_hand: list[BreakerView] = field(default_factory=list)
    """Forced open by a person: only their own name lets them go."""
    services: list[AgentView] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    """The services' new tasks."""


@click.command()
@click.option("--agent", shell_complete=agent_names, help="This one, also when it was forced open, or ended, by hand.")
@click.option("--all", "everything", is_flag=True, help="Every agent that its failures hold, services among them.")
@click.option("--reason", default="recovered by hand", show_default=True, help="Why; kept in each breaker's history.")
@dry_run_option
@json_option
@click.pass_obj
def command(session: Session, agent: str | None, everything: bool, reason: str, dry_run: bool, as_json: bool) -> None:
    """Reset the breakers of held agents, so that what waits for them starts, and start services again that are held or
    were ended. Their causes it cannot remove."""
    if bool(agent) == everything:
        raise click.UsageError("Name one with --agent, or say --all.")
    with session.connected() as connected:
        chosen = _held(connected, agent)
        if not dry_run:
            for breaker in chosen.breakers:
                connected.call(connected.safety.reset_breaker(breaker.scope, reason=reason))
            chosen.started = [_start(connected, service) for service in chosen.services]
    undo = None if dry_run else _undo(chosen)
    if as_json:
        done = {
            "recovered": len(chosen.breakers) + len(chosen.services),
            "breakers": documents(chosen.breakers),
            "services": [service.name for service in chosen.services],
            "held_by_hand": [one.scope for one in chosen.by_hand],
            "undo": undo,
        }
        emit({"dry_run": dry_run, **done})
        return
    _say(chosen, one=bool(agent), dry_run=dry_run)
    if undo:
        click.echo(f"  undo: {undo}")


def _held(connected: Connected, agent: str | None) -> _Chosen:
    found = [
        breaker
        for breaker in connected.call(connected.safety.list_breakers(not_closed=True))
        if breaker.scope.startswith("agent:") and breaker.state in _HOLDING
    ]
    if agent:
        # An alias or a slip is caught here; an unknown name would silently mean nothing.
        view = connected.call(connected.coordinator.get_agent(agent))
        breakers = [breaker for breaker in found if breaker.scope == f"agent:{view.name}"]
        return _Chosen(breakers, services=[view] if _is_at_rest(view) else [])
    by_hand = [breaker for breaker in found if breaker.state == "forced_open"]
    services = [
        view
        for view in connected.call(connected.coordinator.list_agents())
        if view.state is AgentState.HELD and _is_at_rest(view)
    ]
    return _Chosen([breaker for breaker in found if breaker not in by_hand], by_hand, services)


def _is_at_rest(agent: AgentView) -> bool:
    """A service of which no task is open."""
    return agent.kind == "service" and not agent.faults and not agent.current_tasks and not agent.queued


def _start(connected: Connected, service: AgentView) -> str:
    """Start it as it ran before; returns the new task."""
    key, last = random_bytes(16).hex(), service.last_task
    if last is not None and last.state.ended:
        return connected.call(connected.coordinator.retry([last.id], idempotency_key=key)).tasks[0].id
    return connected.call(connected.coordinator.submit([TaskSpec(agent=service.name)], idempotency_key=key)).tasks[0].id


def _undo(chosen: _Chosen) -> str | None:
    lines = [f"quantum breaker force-open {one.scope}" for one in chosen.breakers]
    if chosen.started:
        lines.append(f"quantum cancel {' '.join(chosen.started)}")
    return " && ".join(lines) or None


def _say(chosen: _Chosen, *, one: bool, dry_run: bool) -> None:
    if chosen.breakers:
        were = "would be" if dry_run else "was" if len(chosen.breakers) == 1 else "were"
        click.echo(f"{counted(len(chosen.breakers), 'agent')} {were} let go:")
    for breaker in chosen.breakers:
        until = f" until {when(breaker.until)}" if breaker.until else ""
        said = f": {printable(breaker.reason)}" if breaker.reason else ""
        click.echo(f"  {breaker.scope.removeprefix('agent:')} was {breaker.state.replace('_', ' ')}{until}{said}")
    if chosen.services:
        are = "would be" if dry_run else "is" if len(chosen.services) == 1 else "are"
        click.echo(f"{counted(len(chosen.services), 'service')} {are} started again:")
    for service in chosen.services:
        click.echo(f"  {service.name}{f' was {printable(service.held_reason)}' if service.held_reason else ''}")
    if not (chosen.breakers or chosen.services):
        click.echo(
            "No agent is held by its failures." if chosen.by_hand else "It is not held." if one else "No agent is held."
        )
    for breaker in chosen.by_hand:
        name = breaker.scope.removeprefix("agent:")
        click.echo(f"  {name} stays, forced open by hand: quantum recover --agent {name}")
