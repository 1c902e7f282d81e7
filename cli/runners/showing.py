"""How a runner is shown: its state in a word, why it gets nothing new, and what is taken of it."""

from __future__ import annotations

from cli.output.printing import printable
from clients.coordinator_values import RunnerView
from foundation.quantities import format_size


def state_of(runner: RunnerView) -> str:
    """In a word."""
    if runner.attached_at is None:
        return "drained, away"
    if runner.drained:
        return "drained"
    if runner.draining:
        return "draining"
    return "held" if runner.held_reason else "open"


def why_held(runner: RunnerView) -> str:
    """Why it gets nothing new, as a sentence and the line that undoes it; empty: it does."""
    if runner.drained:
        return f"{printable(runner.drained)}  (quantum runner resume {runner.name})"
    if runner.draining:
        return "it has processes that it cannot end, and takes no more work  (quantum doctor)"
    return printable(runner.held_reason)


def taken(runner: RunnerView) -> str:
    """Its tasks, of how many; paused ones named apart."""
    paused = f", {runner.paused} paused" if runner.paused else ""
    return f"{runner.running} of {runner.slots}{paused}"


def services(runner: RunnerView) -> str:
    """Its services, of how many."""
    return f"{runner.services} of {runner.services_max}"


def memory(runner: RunnerView) -> str:
    """What is expected to be taken, of what its machine has."""
    whole = format_size(runner.memory_bytes) if runner.memory_bytes is not None else "not known"
    free = f", {format_size(runner.memory_available_bytes)} free" if runner.memory_available_bytes is not None else ""
    return f"{format_size(runner.memory_expected_bytes)} of {whole}{free}"


def labels(runner: RunnerView) -> str:
    """As they are asked for."""
    return " ".join(f"{key}={value}" for key, value in sorted(runner.labels.items())) or "-"
