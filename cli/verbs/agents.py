"""`quantum agents`: the catalogue, and how each agent fares."""

from __future__ import annotations

import click

from cli.options import agent_names, json_option
from cli.output.documents import document, documents
from cli.output.printing import counted, emit, lately, printable, share, table, took, when
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
        "schedule": agent.schedule + (f", next {when(agent.next_run_at)}" if agent.next_run_at else ""),
        "service": _service(agent),
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
    if agent.service is not None and agent.service.last_lines:
        click.echo("last lines:")
        click.echo(agent.service.last_lines, nl=not agent.service.last_lines.endswith("\n"))
    for fault in agent.faults:
        click.echo(f"✗ {fault}")
    for notice in agent.notices:
        click.echo(f"! {notice}")


def _service(agent: AgentView) -> str:
    """How it fares that is kept alive."""
    service = agent.service
    if service is None or agent.state is AgentState.HELD:
        return ""
    waits = f", waits until {when(service.next_start_at)}" if service.next_start_at else ""
    ended = f", the last time it {service.last_end}" if service.last_end else ""
    healthy = f", {service.health}" if service.health else ""
    return f"{counted(service.restarts, 'restart')}{ended}{waits}{healthy}"
