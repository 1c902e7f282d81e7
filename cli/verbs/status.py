"""`quantum status`: what runs, what waits, and what is held."""

from __future__ import annotations

from typing import Any

import click

from cli.documents import document, documents
from cli.merging.standing import MergeStanding, standing
from cli.options import json_option
from cli.printing import counted, emit, printable, table, when
from cli.runners.showing import labels, memory, services, taken, why_held
from cli.running import Running, read_running
from cli.session import Session
from clients.coordinator_values import QueueStats, RunnerView, TaskState
from clients.safety_alerts_values import AlertList, AlertView
from clients.safety_values import ModeStatus
from foundation.errors import QuantumError
from foundation.workspace import StopFile

EXIT_NOT_HEALTHY = 69
SERVICES = ("safety", "coordinator")


@click.command()
@json_option
@click.pass_obj
def command(session: Session, as_json: bool) -> int:
    """Show what runs, what waits, and what is held. Exit code 0 when everything is healthy, else 69."""
    workspace = session.workspace
    running = read_running(workspace)
    stop = StopFile(workspace.stop_file).read()
    if running is None:
        if as_json:
            emit({"workspace": str(workspace.root), "health": "down", "processes": {}, "stop_file": document(stop)})
        else:
            click.echo(f"Nothing runs in {workspace.root}. quantum up --detach starts it.")
            if stop:
                click.echo(f"And nothing will start: {stop.who} stopped everything ({stop.why}). quantum resume")
        return EXIT_NOT_HEALTHY
    word = running.gateway.health(workspace) or "down"
    with session.connected() as connected:
        serving = {name: connected.serves(name) for name in (*SERVICES, *running.runners)}
        stats = _unless_away(lambda: connected.call(connected.coordinator.queue_stats()))
        mode = _unless_away(lambda: connected.call(connected.safety.get_mode()))
        alerts = _unless_away(lambda: connected.call(connected.safety.alerts.list()))
        merges = _unless_away(lambda: standing(connected))
    if as_json:
        emit(_to_document(session, running, word, serving, stats, mode, alerts, merges))
    else:
        click.echo(f"{workspace.root}: {word}, at {running.gateway.url}/")
        _say_processes(running, serving)
        _say_mode(mode)
        _say_queue(stats)
        if isinstance(merges, MergeStanding) and merges.line:
            click.echo(merges.line)
        _say_alerts(alerts)
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
) -> dict[str, Any]:
    alive = running.alive
    everyone = {**({"up": running.supervisor} if running.supervisor else {}), **running.processes}
    processes = {
        name: {"pid": one.pid, "alive": name in alive, "serving": serving.get(name)} for name, one in everyone.items()
    }
    unknown = {
        name: value.message
        for name, value in (("queue", stats), ("mode", mode), ("alerts", alerts), ("merges", merges))
        if isinstance(value, QuantumError)
    }
    return {
        "workspace": str(session.workspace.root),
        "health": word,
        "url": running.gateway.url,
        "processes": processes,
        "mode": None if isinstance(mode, QuantumError) else document(mode),
        "queue": None if isinstance(stats, QuantumError) else document(stats),
        "alerts": None if isinstance(alerts, QuantumError) else documents(_open(alerts)),
        "merges": None if isinstance(merges, QuantumError) else document(merges),
        "unknown": unknown,
    }


def _say_processes(running: Running, serving: dict[str, bool]) -> None:
    alive = running.alive
    everyone = {**({"up": running.supervisor} if running.supervisor else {}), **running.processes}
    rows = []
    for name, one in everyone.items():
        said = "ended" if name not in alive else "serving" if serving.get(name, True) else "not serving"
        rows.append((name, str(one.pid), said if name in serving or name not in alive else "runs"))
    table(("PROCESS", "PID", "STATE"), rows)


def _say_mode(mode: ModeStatus | QuantumError) -> None:
    if isinstance(mode, QuantumError):
        click.echo(f"mode: not known. {mode.message}")
        return
    why = f", since {when(mode.since)} by {mode.actor}: {printable(mode.reason)}" if mode.reason else ""
    click.echo(f"mode: {mode.mode}{why}" + ("  (quantum resume)" if mode.mode != "NORMAL" else ""))


def _say_queue(stats: QueueStats | QuantumError) -> None:
    if isinstance(stats, QuantumError):
        click.echo(f"queue: not known. {stats.message}")
        return
    open_counts = [f"{stats.counts[state]:,} {state}" for state in TaskState if stats.counts.get(state)]
    click.echo("tasks: " + (", ".join(open_counts) or "none yet"))
    undecided = stats.counts.get(TaskState.NEEDS_DECISION, 0)
    if undecided:
        click.echo(f"{counted(undecided, 'task')} can only go on by a person  (quantum tasks --state needs_decision)")
    if stats.paused:
        click.echo(f"the queue is paused: {printable(stats.paused_reason)}  (quantum queue resume)")
    for runner in stats.runners:
        _say_runner(runner)
    if not any(runner.attached_at for runner in stats.runners):
        click.echo("no runner is attached, so that nothing can run")
    for scope in stats.parked:
        until = f" until {when(scope.until)}" if scope.until else ""
        click.echo(f"held: {scope.scope}, {counted(scope.tasks, 'task')}{until}: {printable(scope.reason)}")


def _say_runner(runner: RunnerView) -> None:
    if runner.attached_at is None:
        click.echo(f"runner {runner.name}: away, {why_held(runner)}")
        return
    running = f", {services(runner)} services" if runner.services else ""
    click.echo(f"runner {runner.name} on {runner.host}: {taken(runner)} slots taken{running}, memory {memory(runner)}")
    click.echo(f"  {labels(runner)}")
    if why := why_held(runner):
        click.echo(f"  gets nothing new: {why}")


def _open(alerts: AlertList) -> list[AlertView]:
    return [alert for alert in alerts.alerts if alert.resolved_at is None]


def _say_alerts(alerts: AlertList | QuantumError) -> None:
    if isinstance(alerts, QuantumError):
        click.echo(f"alerts: not known. {alerts.message}")
        return
    for alert in _open(alerts):
        click.echo(f"{alert.level}: {printable(alert.sentence)}  (quantum alerts)")
