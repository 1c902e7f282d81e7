"""Stops everything, and proves it: the order in a file first, then the services, then a look at every process."""

from __future__ import annotations

import getpass
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from cli.processes.identity import Process, of_agents
from cli.processes.running import Running, read_running
from cli.session import Connected, Session
from clients.coordinator_values import TaskState
from foundation.errors import QuantumError
from foundation.stop_file import StopFile, StopOrder

KILL_AFTER = timedelta(seconds=13)
"""A second more than runner and warden take for those that ignore SIGTERM; from then on we do it in their place."""
GIVE_UP_AFTER = timedelta(seconds=15)
QUICK = timedelta(seconds=3)
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What a stop found and did. `left` is what still runs: empty when all is proved dead."""

    order: StopOrder
    running_before: int
    left: Sequence[Process]
    killed_here: int
    seconds: float
    """From the command to the last look at the processes."""
    safety_told: bool
    safety_said: str
    coordinator_counts: int | None
    """Running and paused tasks as the coordinator has them at the end; None when it cannot be asked."""
    runners: Mapping[str, int | None]
    """Spawned attempts that each runner still holds; None when it cannot be asked."""


def stop_everything(session: Session, reason: str) -> Stopped:
    """Give the order, tell safety, and wait until nothing runs, at most 15 s.

    Works with every service away: the file alone stops the fleet, and the processes are looked at directly. Raises
    OSError when not even the file can be written.
    """
    workspace, clock = session.workspace, session.clock
    started = clock.boottime()
    order = StopFile(workspace.stop_file).write(who=who(), why=reason, now=clock.now())
    before = of_agents(workspace.root)
    with ExitStack() as stack:
        connected, said = None, ""
        try:
            # Without a token nobody can be told; the file holds all the same, and processes can be looked at.
            connected = stack.enter_context(session.connected())
        except QuantumError as error:
            said = error.message
        else:
            said = _tell_safety(connected, reason)
        left, killed = _wait_for_silence(session, started)
        silent_after = clock.boottime() - started
        running = read_running(workspace) if connected else None
        return Stopped(
            order=order,
            running_before=len(before),
            left=left,
            killed_here=killed,
            safety_told=not said,
            safety_said=said,
            coordinator_counts=_coordinator_counts(session, connected, started) if connected and running else None,
            runners=_runners_hold(session, connected, running, started) if connected and running else {},
            seconds=silent_after,
        )


def who() -> str:
    """Who sits here: user and host."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a uid without a name
        return socket.gethostname()


def _tell_safety(connected: Connected, reason: str) -> str:
    """Empty when safety knows; else what it said, or that it is away."""
    try:
        connected.call(connected.safety.tighten_mode("STOPPED", reason=reason, deadline=QUICK))
    except QuantumError as error:
        return error.message
    return ""


def _wait_for_silence(session: Session, started: float) -> tuple[list[Process], int]:
    """Until no process of an agent is left; what the wardens leave after their time is killed here."""
    pause, killed = threading.Event(), 0
    root = session.workspace.root
    while left := of_agents(root):
        passed = timedelta(seconds=session.clock.boottime() - started)
        if passed > GIVE_UP_AFTER:
            break
        if passed > KILL_AFTER:
            killed += sum(one.send(signal.SIGKILL) for one in left)
        pause.wait(_PAUSE_SECONDS)
    return left, killed


def _coordinator_counts(session: Session, connected: Connected, started: float) -> int | None:
    """What the coordinator still counts as running, once it is nothing or the time is up."""

    def look() -> int:
        counts = connected.call(connected.coordinator.queue_stats(deadline=QUICK)).counts
        return counts.get(TaskState.RUNNING, 0) + counts.get(TaskState.PAUSED, 0)

    return _until_none(session, look, started)


def _runners_hold(session: Session, connected: Connected, running: Running, started: float) -> dict[str, int | None]:
    """Spawned attempts that each runner still holds, once that is none or the time is up."""

    def look(name: str) -> int:
        view = connected.call(connected.runner(name).describe(deadline=QUICK))
        return sum(1 for attempt in view.attempts if attempt.pid)

    return {name: _until_none(session, partial(look, name), started) for name in running.runners}


def _until_none(session: Session, look: Callable[[], int], started: float) -> int | None:
    """A number, looked at until it is 0 or the time is up; None when nobody answers."""
    pause = threading.Event()
    while True:
        try:
            seen = look()
        except QuantumError:
            return None
        if not seen or session.clock.boottime() - started > GIVE_UP_AFTER.total_seconds():
            return seen
        pause.wait(_PAUSE_SECONDS)
