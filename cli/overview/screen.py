"""What `quantum status` says on one screen of 80 × 24: the whole first, then what is held or asks for a person."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from cli.merging.standing import MergeStanding
from cli.output.printing import counted, printable, when
from cli.processes.running import Running
from cli.runners.showing import memory, services, taken, why_held
from clients.coordinator_values import AgentState, AgentView, QueueStats, RunnerView, TaskState
from clients.safety_alerts_values import AlertList, AlertView
from clients.safety_values import ModeStatus
from foundation.errors import QuantumError

LINES_MAX = 22
"""A prompt before and behind fits, too."""
EACH_MAX = 5
"""Lines about runners, held scopes and alerts, each; what has more says how many and where they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that was asked; an error stands in place of an answer."""

    root: str
    word: str
    running: Running
    serving: Mapping[str, bool]
    mode: ModeStatus | QuantumError
    stats: QueueStats | QuantumError
    agents: Sequence[AgentView] | QuantumError
    merges: MergeStanding | QuantumError
    alerts: AlertList | QuantumError


def show(lines: Sequence[str]) -> None:
    """Print them, at a terminal cut to its width, so that each stays one line."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines:
        click.echo(line if width is None or len(line) <= width else f"{line[: width - 1]}…")


def screen(seen: Seen) -> list[str]:
    """The lines, at most 22."""
    whole = [
        f"{seen.root}: {seen.word}, at {seen.running.gateway.url}/",
        *_processes(seen.running, seen.serving),
        _mode(seen.mode),
        *_queue(seen.stats),
        *_agents(seen.agents),
    ]
    if isinstance(seen.merges, MergeStanding) and seen.merges.line:
        whole.append(seen.merges.line)
    details = [_runners(seen.stats), _held(seen.stats), _alerts(seen.alerts)]
    room = max(1, (LINES_MAX - len(whole)) // len(details))
    for lines, more in details:
        fitting = min(EACH_MAX, room)
        whole += lines if len(lines) <= fitting else [*lines[: fitting - 1], more.format(len(lines) - fitting + 1)]
    return whole[:LINES_MAX]


def counts_of(agents: Sequence[AgentView]) -> dict[str, int]:
    """How many agents there are in each state."""
    by = Counter(agent.state for agent in agents)
    return {state.value: by[state] for state in AgentState if by[state]}


def open_alerts(alerts: AlertList) -> list[AlertView]:
    """Those that are not resolved, the gravest first."""
    grave = ("critical", "warning", "info")
    still = [alert for alert in alerts.alerts if alert.resolved_at is None]
    return sorted(still, key=lambda alert: grave.index(alert.level) if alert.level in grave else len(grave))


def _processes(running: Running, serving: Mapping[str, bool]) -> Iterator[str]:
    """Those that are well on one line, the others each on its own."""
    alive = running.alive
    everyone = {**({"up": running.supervisor} if running.supervisor else {}), **running.processes}
    well = [name for name in everyone if name in alive and serving.get(name, True)]
    shown = ", ".join(f"{name} {everyone[name].pid}" for name in well[: EACH_MAX + 1])
    more = f" and {len(well) - EACH_MAX - 1} more" if len(well) > EACH_MAX + 1 else ""
    yield f"processes: {len(well)} of {len(everyone)} well: {shown}{more}"
    ill = [name for name in everyone if name not in well]
    for name in ill[:EACH_MAX]:
        yield f"  {name} ({everyone[name].pid}) {'does not serve' if name in alive else 'has ended'}  (quantum doctor)"
    if len(ill) > EACH_MAX:
        yield f"  and {len(ill) - EACH_MAX} more"


def _mode(mode: ModeStatus | QuantumError) -> str:
    if isinstance(mode, QuantumError):
        return f"mode: not known. {mode.message}"
    why = f", since {when(mode.since)} by {mode.actor}: {printable(mode.reason)}" if mode.reason else ""
    return f"mode: {mode.mode}" + ("  (quantum resume)" if mode.mode != "NORMAL" else "") + why


def _queue(stats: QueueStats | QuantumError) -> Iterator[str]:
    if isinstance(stats, QuantumError):
        yield f"queue: not known. {stats.message}"
        return
    counts = [f"{stats.counts[state]:,} {state.replace('_', ' ')}" for state in TaskState if stats.counts.get(state)]
    yield "tasks: " + (", ".join(counts) or "none yet")
    undecided = stats.counts.get(TaskState.NEEDS_DECISION, 0)
    if undecided:
        yield f"{counted(undecided, 'task')} can only go on by a person  (quantum tasks --state needs_decision)"
    if stats.paused:
        yield f"the queue is paused  (quantum queue resume): {printable(stats.paused_reason)}"


def _agents(agents: Sequence[AgentView] | QuantumError) -> Iterator[str]:
    if isinstance(agents, QuantumError):
        return  # the line of the queue says that the coordinator is away
    counts = ", ".join(f"{number} {state}" for state, number in counts_of(agents).items())
    yield f"agents: {len(agents)}{f' ({counts})' if counts else ''}  (quantum agents)"


_Detail = tuple[list[str], str]
"""Lines, and the one that stands for those that do not fit."""


def _runners(stats: QueueStats | QuantumError) -> _Detail:
    if isinstance(stats, QuantumError):
        return [], ""
    if not any(runner.attached_at for runner in stats.runners):
        return ["no runner is attached, so that nothing can run  (quantum doctor)"], ""
    # Those that take nothing first: of the others, how many there are is enough.
    ordered = sorted(stats.runners, key=lambda runner: not why_held(runner))
    return [_runner(runner) for runner in ordered], "and {} more runners  (quantum runner list)"


def _runner(runner: RunnerView) -> str:
    if runner.attached_at is None:
        return f"runner {runner.name}: away, {why_held(runner)}"
    running = f", {services(runner)} services" if runner.services else ""
    why = f"; gets nothing new: {why_held(runner)}" if why_held(runner) else ""
    return f"runner {runner.name} on {runner.host}: {taken(runner)} slots taken{running}{why}; memory {memory(runner)}"


def _held(stats: QueueStats | QuantumError) -> _Detail:
    if isinstance(stats, QuantumError):
        return [], ""
    lines = []
    for scope in sorted(stats.parked, key=lambda scope: -scope.tasks):
        until = f" until {when(scope.until)}" if scope.until else ""
        lines.append(f"held: {scope.scope}, {counted(scope.tasks, 'task')}{until}: {printable(scope.reason)}")
    return lines, "and {} more are held  (quantum breaker list)"


def _alerts(alerts: AlertList | QuantumError) -> _Detail:
    if isinstance(alerts, QuantumError):
        return [f"alerts: not known. {alerts.message}"], ""
    lines = [f"{alert.level}: {printable(alert.sentence)}" for alert in open_alerts(alerts)]
    return lines, "and {} more alerts  (quantum alerts)"
