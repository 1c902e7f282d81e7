"""Which limit an attempt is over, and the one sentence that says so: `ended` for a limit of time, which leaves a grace,
`killed` for what would go on growing meanwhile."""

from __future__ import annotations

from datetime import timedelta

from foundation.quantities import format_duration, format_size
from services.agent_runner.warden.attempt import Attempt, Breach
from services.agent_runner.warden.cgroups import Cell
from services.agent_runner.warden.host import TreeUse
from services.agent_runner.warden.work_folder import WorkWatch

SAMPLE_SECONDS = 0.25
# Raw output that the runner has not read yet; beyond it a script fills the disk faster than anybody looks.
UNREAD_BYTES_MAX = 256 * 1024 * 1024
KILLING = frozenset({"memory", "processes", "output", "files", "disk"})
"""Causes that allow no grace."""


def overtime(attempt: Attempt, now: float) -> Breach | None:
    """Whether the wall clock, less frozen time, has run out."""
    timeout = attempt.terms.timeout
    if timeout and attempt.active_seconds(now) >= timeout:
        return Breach("timeout", f"ended: ran longer than its {_time(timeout)} (timeout)")
    return None


def output_breach(attempt: Attempt, now: float) -> Breach | None:
    """Whether the output is over its limit, too far ahead of the reader, or has been silent for too long."""
    size = attempt.slot.output_bytes()
    if size != attempt.output_seen:
        attempt.output_seen = size
        attempt.output_changed_at = now
    most = attempt.terms.output_bytes_max
    if most and size > most:
        return Breach("output", f"killed: output {_size(most)} limit, script wrote {_size(size)}")
    if size > UNREAD_BYTES_MAX and attempt.slot.unread_bytes() > UNREAD_BYTES_MAX:
        ahead = _size(UNREAD_BYTES_MAX)
        return Breach("output", f"killed: output faster than it can be read, more than {ahead} ahead of its reader")
    idle = attempt.terms.idle_timeout
    if idle and now - attempt.output_changed_at >= idle:
        return Breach("idle", f"ended: wrote nothing for its {_time(idle)} (idle_timeout)")
    return None


def hit(attempt: Attempt, cell: Cell) -> Breach | None:
    """Whether the kernel has refused the tree memory or processes."""
    hits = cell.hits()
    if hits.memory:
        most = attempt.terms.memory_bytes
        attempt.peak_bytes = max(attempt.peak_bytes, most)
        return Breach("memory", f"killed: memory {_size(most)} limit, tree used {_size(most)} and asked for more")
    if hits.processes:
        most = attempt.terms.processes_max
        return Breach("processes", f"killed: processes {most:,} limit, tree had {most:,} and asked for more")
    return None


def too_many(attempt: Attempt, use: TreeUse) -> Breach | None:
    """Whether the tree has too many processes and threads, where the kernel does not count them."""
    most = attempt.terms.processes_max
    if most and use.processes > most:
        return Breach("processes", f"killed: processes {most:,} limit, tree had {use.processes:,}")
    return None


def too_large(attempt: Attempt, held_bytes: int) -> Breach | None:
    """Whether the tree holds too much memory, where the kernel does not hold it."""
    most = attempt.terms.memory_bytes
    if most and held_bytes > most:
        return Breach("memory", f"killed: memory {_size(most)} limit, tree used {_size(held_bytes)}")
    return None


def too_busy(attempt: Attempt, cpu_seconds: float) -> Breach | None:
    """Whether the tree has used up its processor time."""
    most = attempt.terms.cpu_seconds
    if most and cpu_seconds >= most:
        return Breach("cpu_time", f"ended: used more than its {_time(most)} of processor time (cpu_time)")
    return None


def work_breach(attempt: Attempt, work: WorkWatch) -> Breach | None:
    """Whether the scratch folder holds too much, or hides it where nobody can look."""
    terms = attempt.terms
    if terms.work_files_max and not work.fathomed:
        return Breach("files", f"killed: files {terms.work_files_max:,} limit, work folder cannot be looked into")
    if terms.work_files_max and work.files > terms.work_files_max:
        return Breach("files", f"killed: files {terms.work_files_max:,} limit, work folder held {work.files:,}")
    if terms.work_bytes_max and work.taken_bytes > terms.work_bytes_max:
        most = _size(terms.work_bytes_max)
        return Breach("disk", f"killed: disk {most} limit, work folder took {_size(work.taken_bytes)}")
    return None


def _time(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))


def _size(size: int) -> str:
    written = format_size(size)
    digits = written.rstrip("BKMGTP")
    return f"{digits} {written[len(digits) :]}"
