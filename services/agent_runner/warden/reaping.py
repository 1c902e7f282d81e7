"""Ends what an earlier run of a warden left behind: only processes that carry the run's mark are ever
signalled."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
from pathlib import Path
from typing import NamedTuple

from foundation.clock import Clock
from foundation.files import atomic_write
from services.agent_runner.warden.host import Host, RunMark
from services.agent_runner.warden.sweep import Found, stop_until_stable

RUN_FILE = "run.json"
LOCK_FILE = "warden.lock"
# What lost its runner may be running a second time soon; it is given less than what is ended in good order.
REAP_GRACE_SECONDS = 2.0
_LOOK_SECONDS = 0.05


def write_mark(folder: Path, mark: RunMark) -> None:
    """Tell the successor how to know this run's processes."""
    atomic_write(folder / RUN_FILE, json.dumps(mark._asdict()).encode(), 0o600)


def read_mark(folder: Path) -> RunMark | None:
    """The mark of the run that was here last; None when there was none or it cannot be read."""
    try:
        return RunMark(**json.loads((folder / RUN_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


class Left(NamedTuple):
    """What became of an earlier run's processes."""

    met: int  # how many there were
    alive: tuple[int, ...]  # those that could not be ended


def end_run(host: Host, mark: RunMark, clock: Clock, *, grace: float, patience: float = 5.0) -> Left:
    """End every process of a run: SIGTERM, `grace` seconds, SIGKILL, at most `patience` seconds more."""
    met: set[int] = set()
    kill_at = clock.boottime() + grace
    host.thaw_cells(mark)
    while pids := host.of_run(mark):
        now = clock.boottime()
        if now >= kill_at + patience:
            return Left(len(met | set(pids)), tuple(pids))
        if now >= kill_at:
            _kill(host, mark, clock)
        for pid in pids:
            if now < kill_at and pid not in met:
                host.signal_of_run(pid, mark, signal.SIGTERM)
                host.signal_of_run(pid, mark, signal.SIGCONT)
        met.update(pids)
        _pause()
    return Left(len(met), ())


def _kill(host: Host, mark: RunMark, clock: Clock) -> None:
    """Stopped first, so that no fork outruns the kill."""
    host.kill_cells(mark)
    stop_until_stable(
        looks=(lambda: [Found(pid, 0) for pid in host.of_run(mark)],),
        newest=lambda stopped: [Found(pid, 0) for pid in host.newest_of_run(mark, stopped)],
        stop=lambda found: host.signal_of_run(found.pid, mark, signal.SIGSTOP),
        clock=clock,
    )
    for pid in host.of_run(mark):
        host.signal_of_run(pid, mark, signal.SIGKILL)


def take_over(folder: Path, host: Host, clock: Clock, *, patience: float) -> int:
    """Become the one warden of this folder; returns the lock, which is held as long as it stays open.

    A warden of an earlier run that still lives is told to end its trees, and killed after `patience` seconds.
    """
    lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    give_up_at = clock.boottime() + patience
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mark = read_mark(folder)
            if mark is not None and not told:
                told = host.signal_warden(mark, signal.SIGTERM)
            elif mark is not None and clock.boottime() >= give_up_at:
                host.signal_warden(mark, signal.SIGKILL)
            _pause()
        else:
            return lock


def _pause() -> None:
    select.select([], [], [], _LOOK_SECONDS)
