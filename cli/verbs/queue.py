"""`quantum queue`: the queue as a whole: figures, pause, resume, clear, undo."""

from __future__ import annotations

import click

from cli.groups import Group
from cli.options import dry_run_option, json_option, reason_option
from cli.output.documents import document
from cli.output.printing import counted, emit, table, when
from cli.session import BULK_DEADLINE, BULK_TIMEOUT, Session
from clients.coordinator_values import QueueStats
from foundation.quantities import format_size


@click.group(cls=Group)
def command() -> None:
    """The queue as a whole: figures, pause, resume, clear, undo."""


@command.command()
@json_option
@click.pass_obj
def stats(session: Session, as_json: bool) -> None:
    """Show the figures of the queue."""
    with session.connected() as connected:
        figures = connected.call(connected.coordinator.queue_stats())
    if as_json:
        emit(document(figures))
    else:
        _say(figures)


@command.command()
@reason_option
@json_option
@click.pass_obj
def pause(session: Session, reason: str, as_json: bool) -> None:
    """Let nothing new start; what runs runs on, and submits are accepted. Survives restarts."""
    with session.connected() as connected:
        changed = connected.call(connected.coordinator.pause_queue(reason=reason))
    if as_json:
        emit({"paused": True, "changed": changed, "undo": "quantum queue resume"})
    else:
        click.echo("The queue is paused." if changed else "The queue was paused already.")
        click.echo("  undo: quantum queue resume")


@command.command()
@json_option
@click.pass_obj
def resume(session: Session, as_json: bool) -> None:
    """Undo `quantum queue pause`."""
    with session.connected() as connected:
        changed = connected.call(connected.coordinator.resume_queue())
    if as_json:
        emit({"paused": False, "changed": changed})
    else:
        click.echo("The queue goes on." if changed else "The queue was not paused.")


@command.command()
@click.option("--agent", default="", help="Only tasks of this agent.")
@reason_option
@dry_run_option
@json_option
@click.pass_obj
def clear(session: Session, agent: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Cancel every task that waits; what runs runs on. It can be undone as a whole."""
    with session.connected() as connected:
        if agent:
            agent = connected.call(connected.coordinator.get_agent(agent)).name
        done = connected.call(
            connected.coordinator.clear_queue(agent=agent, reason=reason, dry_run=dry_run, deadline=BULK_DEADLINE),
            BULK_TIMEOUT,
        )
    undo = f"quantum queue undo {done.clearing_id}" if done.clearing_id and not dry_run else None
    if as_json:
        emit({"dry_run": dry_run, "cleared": done.cleared, "clearing_id": done.clearing_id or None, "undo": undo})
        return
    click.echo(f"{counted(done.cleared, 'task')} {'would be ' if dry_run else ''}cancelled.")
    if undo:
        click.echo(f"  undo: {undo}")


@command.command()
@click.argument("clearing_id", metavar="ID")
@json_option
@click.pass_obj
def undo(session: Session, clearing_id: str, as_json: bool) -> None:
    """Submit the tasks of a clearing again, as new tasks. A second time changes nothing."""
    with session.connected() as connected:
        restored = connected.call(connected.coordinator.undo_clear(clearing_id, deadline=BULK_DEADLINE), BULK_TIMEOUT)
    if as_json:
        emit({"restored": restored})
    else:
        click.echo(f"{counted(restored, 'task')} submitted again.")


def _say(figures: QueueStats) -> None:
    rows = [(state.value, f"{count:,}") for state, count in figures.counts.items() if count]
    if rows:
        table(("STATE", "TASKS"), rows)
    click.echo(f"open: {figures.open:,} of at most {figures.open_max:,}")
    if figures.paused:
        click.echo(f"paused: {figures.paused_reason}  (quantum queue resume)")
    click.echo(f"ended per minute, over five: {figures.throughput_per_minute:.1f}")
    if figures.wait_p50_seconds is not None and figures.wait_p99_seconds is not None:
        click.echo(
            f"ready to start: {figures.wait_p50_seconds:.3f} s at the median, {figures.wait_p99_seconds:.3f} s p99"
        )
    if figures.oldest_ready_at:
        click.echo(f"oldest that is ready: since {when(figures.oldest_ready_at)}")
    for scope in figures.parked:
        click.echo(f"held: {scope.scope}, {counted(scope.tasks, 'task')}: {scope.reason}")
    click.echo(f"database: {format_size(figures.store_bytes)}, disk free: {format_size(figures.disk_free_bytes)}")
