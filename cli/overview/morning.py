"""What somebody wants to know in the morning, in six lines; what is not known says why, and is never a 0."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path

from cli.doctor.copies import CREATE, copies_of
from cli.doctor.files import DiskSettings
from cli.doctor.subject import Subject
from cli.output.printing import counted, printable, when
from cli.overview.looked import Looked
from cli.session import Connected, Session
from cli.tasks.selection import all_of
from clients.coordinator_values import AgentState, TaskFilter, TaskState
from foundation.errors import QuantumError, Unavailable
from foundation.money import format_dollars
from foundation.quantities import format_duration, format_size

WITHIN = timedelta(seconds=8)
FIRST_LOOK = timedelta(days=1)
"""How far back one looks who has never looked."""
LOOKED_AT = 10_000
"""The newest failures, by the time of their submit, that are looked at."""
NAMED = 3
_NOTHING_STARTS = ("DRAIN", "FROZEN", "STOPPED")
"""Modes that hold every agent; `recover` lets none of them go."""
_FAILED = TaskFilter(states=frozenset({TaskState.FAILED, TaskState.DEAD}))


class Sign(StrEnum):
    """Whether a line needs a person."""

    WELL = "well"
    LOOK = "look"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One of the six. `what_next` is a command, empty when there is nothing to do."""

    name: str
    sign: Sign
    said: str
    what_next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Morning:
    """The six lines; `since` is from when on failures count, `known` whether they could be counted."""

    lines: tuple[Line, ...]
    since: datetime
    looked_at: datetime
    known: bool

    @property
    def well(self) -> bool:
        """Whether nobody has anything to do."""
        return all(line.sign is Sign.WELL for line in self.lines)


class _NotAsked(Unavailable):
    """Whoever knows does not run; the remedy is the line that starts it."""


def morning(session: Session, looked: Looked) -> Morning:
    """Ask everybody once. Raises NotFound outside of a workspace."""
    subject, now = Subject(session), session.clock.now()
    root = session.workspace.root  # outside of one there is nothing to be asked
    last = looked.last()
    since = last if last is not None and last <= now else now - FIRST_LOOK
    never = last is None
    with ExitStack() as stack:
        if subject.running is not None:
            try:
                subject.connected = stack.enter_context(session.connected())
            except QuantumError:
                subject.connected = None
            subject.look_who_serves(WITHIN)
        asked = [
            ("services", lambda: _services(subject)),
            ("agents", lambda: _agents(_coordinator(subject), _mode(subject))),
            ("failures", lambda: _failures(_coordinator(subject), since, never=never)),
            ("budgets", lambda: _budgets(_safety(subject), _mode(subject))),
            ("backups", lambda: _backups(subject)),
            ("disk", lambda: _disk(subject, root)),
        ]
        lines = tuple(_told(name, ask) for name, ask in asked)
    known = next(line for line in lines if line.name == "failures").sign is not Sign.UNKNOWN
    return Morning(lines=lines, since=since, looked_at=now, known=known)


def _told(name: str, ask: Callable[[], Line]) -> Line:
    try:
        return ask()
    except _NotAsked as error:
        return Line(name=name, sign=Sign.UNKNOWN, said=f"not known: {error.message}", what_next=error.remedy)
    except QuantumError as error:
        return Line(name=name, sign=Sign.UNKNOWN, said=f"not known: {error.message}", what_next="quantum doctor")
    except OSError as error:
        return Line(name=name, sign=Sign.UNKNOWN, said=f"not known: {error}", what_next="quantum doctor")


def _coordinator(subject: Subject) -> Connected:
    return _asked(subject, "coordinator")


def _safety(subject: Subject) -> Connected:
    return _asked(subject, "safety")


def _asked(subject: Subject, service: str) -> Connected:
    if subject.connected is None or not subject.serving.get(service):
        if subject.running is None:
            raise _NotAsked("not_asked", "nothing runs.", remedy=subject.up)
        cure = "quantum doctor" if subject.connected is None else subject.restart
        raise _NotAsked("not_asked", f"{service} does not answer.", remedy=cure)
    return subject.connected


def _services(subject: Subject) -> Line:
    name, running = "services", subject.running
    if running is None:
        return Line(name=name, sign=Sign.LOOK, said="nothing runs", what_next=subject.up)
    away = [one for one, serving in subject.serving.items() if not serving]
    word = running.gateway.health(subject.here)
    if subject.connected is None or away or not word:
        said = ", ".join([*away, *([] if word else ["gateway"])]) or "your token is not in the keychain; they"
        return Line(name=name, sign=Sign.LOOK, said=f"{said} cannot be reached", what_next=subject.restart)
    mode = subject.connected.call(subject.connected.safety.get_mode(), WITHIN)
    count = len(subject.serving) + 1
    if mode.mode != "NORMAL":
        why = f" ({printable(mode.reason)})" if mode.reason else ""
        return Line(
            name=name, sign=Sign.LOOK, said=f"{count} serve; the mode is {mode.mode}{why}", what_next="quantum resume"
        )
    if word != "ok":
        return Line(
            name=name, sign=Sign.LOOK, said=f"{count} serve; the gateway says {word}", what_next="quantum doctor"
        )
    return Line(name=name, sign=Sign.WELL, said=f"{count} serve, the mode is NORMAL")


def _mode(subject: Subject) -> str:
    """The operating mode; empty while safety is away, which is said of `services`."""
    try:
        connected = _safety(subject)
        return connected.call(connected.safety.get_mode(), WITHIN).mode
    except QuantumError:
        return ""


def _agents(connected: Connected, mode: str) -> Line:
    every = connected.call(connected.coordinator.list_agents(), WITHIN)
    by = Counter(agent.state for agent in every)
    if mode in _NOTHING_STARTS:
        said = f"{len(every)}, {by[AgentState.RUNNING]} of them running; in mode {mode} none is started"
        return Line(name="agents", sign=Sign.LOOK, said=said, what_next="quantum resume")
    held = [agent.name for agent in every if agent.state is AgentState.HELD]
    invalid = [agent.name for agent in every if agent.state is AgentState.INVALID]
    said = f"{len(every)}, {by[AgentState.RUNNING]} of them running"
    said += f"; held: {_names(held)}" if held else ""
    said += f"; not to be run: {_names(invalid)}" if invalid else ""
    if held or invalid:
        return Line(
            name="agents", sign=Sign.LOOK, said=said, what_next="quantum recover --all" if held else "quantum doctor"
        )
    return Line(name="agents", sign=Sign.WELL, said=said)


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _failures(connected: Connected, since: datetime, *, never: bool) -> Line:
    """What failed since then, by the time of its end, and what waits for a person, whenever it came to that."""
    walked = list(islice(all_of(connected, _FAILED), LOOKED_AT + 1))
    failed = [task for task in walked[:LOOKED_AT] if task.finished_at is not None and task.finished_at > since]
    stats = connected.call(connected.coordinator.queue_stats(), WITHIN)
    undecided = stats.counts.get(TaskState.NEEDS_DECISION, 0)
    by = Counter(task.agent for task in failed)
    at_least = "at least " if len(walked) > LOOKED_AT else ""
    count = f"{at_least}{counted(len(failed), 'task')}" if failed or at_least else "none"
    who = ", ".join(f"{agent} {number}" for agent, number in by.most_common(NAMED))
    more = f" and {len(by) - NAMED} more agents" if len(by) > NAMED else ""
    said = f"{count}{f' ({who}{more})' if who else ''} {_since(since, never=never)}"
    if undecided:
        said += f"; {counted(undecided, 'task')} can only go on by you"
        return Line(name="failures", sign=Sign.LOOK, said=said, what_next="quantum tasks --state needs_decision")
    if failed or at_least:
        return Line(name="failures", sign=Sign.LOOK, said=said, what_next="quantum tasks --state failed --state dead")
    return Line(name="failures", sign=Sign.WELL, said=said)


def _since(since: datetime, *, never: bool) -> str:
    return f"in the last {format_duration(FIRST_LOOK)}" if never else f"since you last looked, {when(since)}"


def _budgets(connected: Connected, mode: str) -> Line:
    every = connected.call(connected.safety.budgets.list(), WITHIN)
    spend = connected.call(connected.safety.spend.get(), WITHIN)
    acted_on = [one.scope for one in every if one.grade != "normal"]
    parts = [
        f"error budgets: {_names(acted_on)} acted on"
        if acted_on
        else f"{counted(len(every), 'error budget')}, none acted on"
    ]
    full = False
    for account in spend.accounts:
        if account.scope == "fleet" and account.per == "day":
            used, cap = account.spent_micros + account.reserved_micros, account.cap.micros if account.cap else None
            of = f" of {format_dollars(cap)}" if cap is not None else ", without a cap"
            parts.append(f"{format_dollars(used)}{of} today")
            full = cap is not None and used >= cap
    if spend.stopped_by:
        parts.append(f"nothing new is spent: {printable(spend.stopped_by)}")
    said = "; ".join(parts)
    if acted_on:
        return Line(name="budgets", sign=Sign.LOOK, said=said, what_next="quantum budget")
    if full or spend.stopped_by:
        by_mode = not full and mode not in ("", "NORMAL") and mode in spend.stopped_by
        what_next = "quantum resume" if by_mode else "quantum spend"
        return Line(name="budgets", sign=Sign.LOOK, said=said, what_next=what_next)
    return Line(name="budgets", sign=Sign.WELL, said=said)


def _backups(subject: Subject) -> Line:
    copies = copies_of(subject)
    look = copies.due or copies.wrong
    said = copies.said[0].lower() + copies.said[1:].rstrip(".")
    return Line(name="backups", sign=Sign.LOOK if look else Sign.WELL, said=said, what_next=CREATE if look else "")


def _disk(subject: Subject, root: Path) -> Line:
    found, least = shutil.disk_usage(root), subject.settings(DiskSettings).disk_free_bytes_min
    said = f"{format_size(found.free)} free of {format_size(found.total)}"
    if found.free < 2 * least:
        said += f"; below {format_size(least)} no task is taken"
        return Line(name="disk", sign=Sign.LOOK, said=said, what_next="quantum doctor")
    return Line(name="disk", sign=Sign.WELL, said=said)
