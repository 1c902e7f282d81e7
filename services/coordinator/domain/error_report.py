"""What a person reads in `logs/errors/` about one failed attempt; never params, never a secret."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from foundation.quantities import format_duration, format_size
from services.coordinator.domain.attempt import Ended
from services.coordinator.domain.failure import EndCause, FailureClass, classify, describe
from services.coordinator.domain.task import LimitUse, Task

TAIL_LINES = 60
TAIL_CHARACTERS_MAX = 8_000
VALUE_CHARACTERS_MAX = 1_000
# These end what did nothing wrong: a person's word, a mode, a lease that was somebody else's by then.
_NO_FAILURES = frozenset({FailureClass.CANCEL, FailureClass.POLICY})
_IN_BYTES = frozenset({"memory", "output", "disk"})
_IN_SECONDS = frozenset({"timeout", "idle_timeout", "cpu_time"})
_NOT_ITS_OWN = frozenset({EndCause.FENCE, EndCause.HANDED_BACK})


class ErrorReport(NamedTuple):
    """One file: the name sorts by time, then says the agent, the task and which attempt it was."""

    name: str
    text: str


def report_of_end(before: Task, after: Task, event: Ended) -> ErrorReport | None:
    """What an attempt's end, by its runner, is to leave behind; None for one that is no failure.

    `before` is the task as it ran, `after` as the end has left it.
    """
    kind = classify(event.end)
    if kind is None or kind in _NO_FAILURES or event.end.cause in _NOT_ITS_OWN or before.cancel_requested:
        return None
    measured = event.end.measured
    took = "" if measured.duration is None else format_duration(measured.duration)
    peak = "" if measured.memory_peak_bytes is None else format_size(measured.memory_peak_bytes)
    limits = ", ".join(_limit(limit) for limit in measured.limits)
    facts = [
        ("ended by", _ended_by(event)),
        ("class", kind.value),
        ("began", "" if event.started_at is None else _moment(event.started_at)),
        ("ended", _moment(event.finished_at)),
        ("took", took),
        ("memory at most", peak),
        ("left behind", f"{event.stragglers} processes, which were ended" if event.stragglers else ""),
        ("limits", limits),
        ("report", event.report_fault),
    ]
    return _report(before, after, describe(event.end), facts, event.output_tail, event.finished_at)


def report_of_loss(before: Task, after: Task, now: datetime) -> ErrorReport:
    """What an attempt leaves behind whose runner was lost: nobody saw its end."""
    facts = [("ended by", "not known: nobody saw it end"), ("ended", f"{_moment(now)}, or before")]
    return _report(before, after, after.reason, facts, "", now)


def _report(
    before: Task, after: Task, said: str, facts: list[tuple[str, str]], output: str, ended_at: datetime
) -> ErrorReport:
    attempt = max(after.attempt, 1)
    stamp = f"{ended_at:%Y%m%d-%H%M%S}-{ended_at.microsecond // 1000:03}"
    head = [
        ("task", f"{after.id}, attempt {attempt}"),
        ("agent", after.agent),
        ("project", after.project),
        ("runner", before.holder),
        *facts,
        ("now", f"{after.state}{_when(after)}" + (f": {after.reason}" if after.reason != said else "")),
    ]
    lines = [
        f"{after.agent}: {_one_line(said)}",
        "",
        *(f"{name:<15}{_one_line(value)}" for name, value in head if value),
        "",
        *_how_on(after),
        "",
        *_tail(output),
    ]
    return ErrorReport(f"{stamp}-{after.agent}-{after.id}-{attempt}.txt", "\n".join(lines) + "\n")


def _ended_by(event: Ended) -> str:
    measured = event.end.measured
    if measured.signal is not None:
        return f"signal {measured.signal}"
    if measured.exit_code is not None:
        return f"exit {measured.exit_code}"
    return "it was never started" if event.started_at is None else event.end.cause.value


def _limit(limit: LimitUse) -> str:
    value = f"{limit.value:g}"
    if limit.name in _IN_BYTES:
        value = format_size(int(limit.value))
    elif limit.name in _IN_SECONDS:
        value = f"{value} s"
    return f"{limit.name} {value} ({limit.enforcement})"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _when(task: Task) -> str:
    return f", not before {_moment(task.not_before)}" if not task.ended and task.not_before is not None else ""


def _how_on(task: Task) -> Iterator[str]:
    if task.ended:
        yield f"run it again    quantum retry {task.id}"
    else:
        yield f"what comes next quantum why {task.id}"
    yield f"all of it       quantum logs {task.id}"


def _one_line(value: str) -> str:
    """What a script had a say in, without what could act on a terminal or begin a line of its own."""
    if len(value) > VALUE_CHARACTERS_MAX:
        value = f"{value[:VALUE_CHARACTERS_MAX]} …"
    return value if value.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)


def _tail(output: str) -> Iterator[str]:
    lines = output[-TAIL_CHARACTERS_MAX:].splitlines()[-TAIL_LINES:]
    yield "It printed nothing." if not lines else "The last lines that it printed:"
    if lines:
        yield ""
        yield from lines
