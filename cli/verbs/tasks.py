"""`quantum tasks`: lists tasks, or shows one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

import click

from cli.options import json_option
from cli.output.documents import document, documents
from cli.output.printing import emit, lately, table, took, when
from cli.session import Session
from cli.tasks.selection import filter_of, filter_options
from clients.coordinator_values import Limit, TaskView, Usage
from foundation.quantities import format_size

# Told on lines of their own: they have no value.
_REACH = ("sandbox", "secrets")


@click.command()
@click.argument("task_id", metavar="[ID]", required=False)
@filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True, help="How many.")
@click.option("--cursor", default="", help="Where the last page ended.")
@json_option
@click.pass_obj
def command(
    session: Session,
    task_id: str | None,
    agent: str,
    project: str,
    states: Sequence[str],
    limit: int,
    cursor: str,
    as_json: bool,
) -> None:
    """List tasks, the newest first; with ID, show one with the tail of its output."""
    with session.connected() as connected:
        if task_id:
            task = connected.call(connected.coordinator.get_task(task_id))
            if as_json:
                emit({"task": document(task)})
            else:
                _say_one(task)
            return
        chosen = filter_of(agent, project, states)
        page = connected.call(connected.coordinator.list_tasks(chosen, limit=limit, cursor=cursor))
    if as_json:
        emit({"tasks": documents(page.tasks), "counts": document(page.counts), "next": page.next})
        return
    if not page.tasks:
        click.echo("There is no such task.")
        return
    now = session.clock.now()
    rows = [
        (
            task.id,
            task.agent,
            task.state.value,
            str(task.priority),
            lately(task.created_at, now),
            took(task.duration),
            _end(task),
        )
        for task in page.tasks
    ]
    table(("ID", "AGENT", "STATE", "PRIO", "CREATED", "TOOK", "SAID"), rows)
    if page.next:
        click.echo(f"There are more: quantum tasks --cursor {page.next}", err=True)


def _end(task: TaskView) -> str:
    code = f"exit {task.exit_code}" if task.exit_code else f"signal {task.signal}" if task.signal else ""
    return task.reason or code


def _limit(limit: Limit) -> str:
    match limit.name:
        case "timeout" | "idle_timeout" | "cpu_time":
            return took(timedelta(seconds=limit.value))
        case "memory" | "output" | "disk":
            return format_size(int(limit.value))
        case _:
            return f"{limit.value:g}"


def _usage(usage: Usage) -> str:
    peak = usage.memory_peak_bytes
    # A short one that is smaller than what starts it cannot be told apart from that.
    memory = "less than can be measured, about 20 MB" if peak is None else f"{format_size(peak)} at most"
    return f"{took(usage.cpu)} of CPU, memory {memory}"


def _stragglers(number: int) -> str:
    if not number:
        return ""
    return f"{number} process{'es' if number > 1 else ''} outlived the script and had to be ended"


def _say_one(task: TaskView) -> None:
    limits = ", ".join(f"{one.name} {_limit(one)} ({one.enforcement})" for one in task.limits if one.name not in _REACH)
    reach = {one.name: one.detail for one in task.limits if one.name in _REACH}
    facts = {
        "id": task.id,
        "agent": task.agent,
        "project": task.project,
        "state": f"{task.state}{' (cancel requested)' if task.cancel_requested and not task.state.ended else ''}",
        "reason": task.reason,
        "params": json.dumps(task.params, ensure_ascii=False) if task.params else "",
        "priority": str(task.priority),
        "attempt": f"{task.attempt} of {task.attempts_max}, fence {task.fence}" if task.attempt else "",
        "exit code": "" if task.exit_code is None else str(task.exit_code),
        "signal": "" if task.signal is None else str(task.signal),
        "runner": task.runner,
        "created": f"{when(task.created_at)} by {task.submitted_by or 'unknown'}",
        "not before": when(task.not_before) if task.not_before else "",
        "started": when(task.started_at) if task.started_at else "",
        "finished": when(task.finished_at) if task.finished_at else "",
        "took": took(task.duration) if task.duration is not None else "",
        "used": _usage(task.usage) if task.usage else "",
        "limits": limits,
        "sandbox": reach.get("sandbox", ""),
        "secrets": reach.get("secrets", ""),
        "stragglers": _stragglers(task.stragglers),
        "report": f"not taken: {task.report_fault}." if task.report_fault else "",
        "effects": task.effects.value,
        "waits for": " ".join(task.depends_on),
        "retry of": task.retry_of,
        "parent": task.parent,
        "labels": ", ".join(f"{key}={value}" for key, value in task.labels.items()),
    }
    for name, fact in facts.items():
        if fact:
            click.echo(f"{name + ':':12} {fact}")
    if task.output_tail:
        cut = f" (cut; {task.output_bytes:,} bytes in all)" if task.output_cut else ""
        click.echo(f"output{cut}:")
        click.echo(task.output_tail, nl=not task.output_tail.endswith("\n"))
