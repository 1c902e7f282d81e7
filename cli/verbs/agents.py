"""`quantum agents`: the catalogue, and how each agent fares."""

from __future__ import annotations

import click

from cli.documents import document, documents
from cli.options import agent_names, json_option
from cli.printing import counted, emit, lately, printable, share, table, took, when
from cli.session import Session
from clients.coordinator_values import AgentState, AgentView
from foundation.quantities import format_size


@click.command()
@click.argument("name", required=False, shell_complete=agent_names)
@click.option("--reload", is_flag=True, help="Have the manifests read again first.")
@json_option
@click.pass_obj
def command(session: Session, name: str | None, reload: bool, as_json: bool) -> None:
    """List the agents with their state, success rate and breaker; with NAME, show one."""
    with session.connected() as connected:
        coordinator = connected.coordinator
        listed = connected.call(coordinator.reload_agents()) if reload else ()
        if name:
            agent = connected.call(coordinator.get_agent(name))
            if as_json:
                emit({"agent": document(agent)})
            else:
                _say_one(agent)
            return
        listed = listed or connected.call(coordinator.list_agents())
    if as_json:
        emit({"agents": documents(listed)})
        return
    if not listed:
        click.echo(f"There is no agent. A script in {session.workspace.agents} becomes one.")
        return
    now = session.clock.now()
    rows = [
        (
            agent.name,
            agent.state.value,
            share(agent.success_rate),
            agent.breaker or "-",
            str(agent.queued),
            lately(agent.last_task.finished_at if agent.last_task else None, now),
            agent.description or "-",
        )
        for agent in listed
    ]
    table(("NAME", "STATE", "SUCCESS", "BREAKER", "QUEUED", "LAST END", "WHAT IT DOES"), rows)
    faulty = [agent for agent in listed if agent.state is AgentState.INVALID]
    for agent in faulty:
        click.echo(f"\n{agent.name} cannot be run ({agent.source}):")
        for fault in agent.faults:
            click.echo(f"  {fault}")
    if faulty:
        click.echo(f"\n{counted(len(faulty), 'agent')} with faults, of {len(listed)}.")


def _say_one(agent: AgentView) -> None:
    held = f" until {when(agent.held_until)}" if agent.held_until else ""
    last = agent.last_task
    facts = {
        "name": agent.name + (f", also {', '.join(agent.aliases)}" if agent.aliases else ""),
        "what it does": agent.description,
        "state": agent.state.value,
        "held": f"{agent.held_reason}{held}" if agent.held_reason else "",
        "kind": agent.kind,
        "source": agent.source,
        "effects": agent.effects.value if agent.effects else "",
        "timeout": took(agent.timeout) if agent.timeout else "",
        "memory": format_size(agent.memory_bytes) if agent.memory_bytes else "",
        "retries": str(agent.retries),
        "uses": ", ".join(agent.uses),
        "schedule": agent.schedule,
        "running": " ".join(agent.current_tasks),
        "queued": str(agent.queued),
        "success": share(agent.success_rate),
        "may fail": share(agent.predicted_failure),
        "breaker": agent.breaker or "not known",
        "last task": f"{last.id} {last.state} {when(last.finished_at)}" if last else "",
    }
    for name, fact in facts.items():
        if fact:
            click.echo(f"{name + ':':14} {printable(fact)}")
    for fault in agent.faults:
        click.echo(f"✗ {fault}")
    for notice in agent.notices:
        click.echo(f"! {notice}")
