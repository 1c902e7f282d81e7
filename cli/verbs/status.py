"""`quantum status`: what runs, what waits, and what is held."""

from __future__ import annotations

from typing import Any

import click

from cli.merging.standing import standing
from cli.options import json_option
from cli.output.documents import document, documents
from cli.output.printing import emit
from cli.overview.screen import Seen, counts_of, open_alerts, screen, show
from cli.processes.running import Running, damaged_records, read_running
from cli.session import Session
from foundation.errors import QuantumError
from foundation.stop_file import StopFile

EXIT_NOT_HEALTHY = 69
SERVICES = ("safety", "coordinator")


@click.command()
@json_option
@click.pass_obj
def command(session: Session, as_json: bool) -> int:
    """Show what runs, what waits, and what is held. Exit code 0 when everything is healthy, else 69."""
    workspace = session.workspace
    running = read_running(workspace)
    for path in damaged_records(workspace):
        click.echo(f"{path} has been damaged, so that its service counts as not running.  → quantum doctor", err=True)
    stop = StopFile(workspace.stop_file).read()
    if running is None:
        if as_json:
            emit({"workspace": str(workspace.root), "health": "down", "processes": {}, "stop_file": document(stop)})
        else:
            click.echo(f"Nothing runs in {workspace.root}. quantum up --detach starts it.")
            if stop:
                click.echo(f"And nothing will start: {stop.who} stopped everything ({stop.why}). quantum resume")
        return EXIT_NOT_HEALTHY
    answer = running.gateway.health(workspace)
    word = answer or "down"
    with session.connected() as connected:
        serving = {name: connected.serves(name) for name in (*SERVICES, *running.runners)}
        serving["gateway"] = bool(answer)
        stats = _unless_away(lambda: connected.call(connected.coordinator.queue_stats()))
        mode = _unless_away(lambda: connected.call(connected.safety.get_mode()))
        alerts = _unless_away(lambda: connected.call(connected.safety.alerts.list()))
        merges = _unless_away(lambda: standing(connected))
        agents = _unless_away(lambda: connected.call(connected.coordinator.list_agents()))
    if as_json:
        emit(_to_document(session, running, word, serving, stats, mode, alerts, merges, agents))
    else:
        seen = Seen(
            root=str(workspace.root),
            word=word,
            running=running,
            serving=serving,
            mode=mode,
            stats=stats,
            agents=agents,
            merges=merges,
            alerts=alerts,
        )
        show(screen(seen))
    return 0 if word == "ok" else EXIT_NOT_HEALTHY


def _unless_away(ask: Any) -> Any:
    """What a service says, or its error in place of an answer."""
    try:
        return ask()
    except QuantumError as error:
        return error


def _to_document(
    session: Session,
    running: Running,
    word: str,
    serving: dict[str, bool],
    stats: Any,
    mode: Any,
    alerts: Any,
    merges: Any,
    agents: Any,
) -> dict[str, Any]:
    alive = running.alive
    everyone = {**({"up": running.supervisor} if running.supervisor else {}), **running.processes}
    processes = {
        name: {"pid": one.pid, "alive": name in alive, "serving": serving.get(name)} for name, one in everyone.items()
    }
    unknown = {
        name: value.message
        for name, value in (
            *(("queue", stats), ("mode", mode), ("alerts", alerts)),
            *(("merges", merges), ("agents", agents)),
        )
        if isinstance(value, QuantumError)
    }
    return {
        "workspace": str(session.workspace.root),
        "health": word,
        "url": running.gateway.url,
        "processes": processes,
        "mode": None if isinstance(mode, QuantumError) else document(mode),
        "queue": None if isinstance(stats, QuantumError) else document(stats),
        "agents": None if isinstance(agents, QuantumError) else counts_of(agents),
        "alerts": None if isinstance(alerts, QuantumError) else documents(open_alerts(alerts)),
        "merges": None if isinstance(merges, QuantumError) else document(merges),
        "unknown": unknown,
    }
