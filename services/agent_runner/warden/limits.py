"""Which limit an attempt is over, looked at while it runs; kernel enforcement by cgroup will replace parts of
it."""

from __future__ import annotations

from collections.abc import Callable

from services.agent_runner.warden.attempt import Attempt, Breach
from services.agent_runner.warden.host import TreeUse

SAMPLE_SECONDS = 0.25
# Raw output that the runner has not read yet; beyond it a script fills the disk faster than anybody looks.
UNREAD_BYTES_MAX = 256 * 1024 * 1024


def overtime(attempt: Attempt, now: float) -> Breach | None:
    """Whether the wall clock, less frozen time, has run out."""
    timeout = attempt.terms.timeout
    if timeout and attempt.active_seconds(now) >= timeout:
        return Breach("timeout", f"it ran longer than its {timeout:g} s")
    return None


def output_breach(attempt: Attempt, now: float) -> Breach | None:
    """Whether the output is over its limit, too far ahead of the reader, or has been silent for too long."""
    size = attempt.slot.output_bytes()
    if size != attempt.output_seen:
        attempt.output_seen = size
        attempt.output_changed_at = now
    most = attempt.terms.output_bytes_max
    if most and size > most:
        return Breach("output", f"it wrote {size} bytes of output, over its {most}")
    if size > UNREAD_BYTES_MAX and attempt.slot.unread_bytes() > UNREAD_BYTES_MAX:
        return Breach("output", f"it wrote output faster than it could be read, over {UNREAD_BYTES_MAX} bytes ahead")
    idle = attempt.terms.idle_timeout
    if idle and now - attempt.output_changed_at >= idle:
        return Breach("idle", f"it wrote nothing for its {idle:g} s")
    return None


def tree_breach(attempt: Attempt, use: TreeUse, proportional_bytes: Callable[[int], int]) -> Breach | None:
    """Whether the tree holds too much memory or too many processes.

    Resident memory counts shared pages once per process, so it only raises the question; the proportional sum
    answers.
    """
    attempt.peak_bytes = max(attempt.peak_bytes, use.resident_bytes)
    terms = attempt.terms
    if terms.processes_max and use.processes > terms.processes_max:
        return Breach("processes", f"it had {use.processes} processes, over its {terms.processes_max}")
    if terms.memory_bytes and use.resident_bytes > terms.memory_bytes:
        held = proportional_bytes(attempt.tag)
        if held > terms.memory_bytes:
            return Breach("memory", f"its processes held {held} bytes together, over its {terms.memory_bytes}")
    return None
