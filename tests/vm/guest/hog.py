"""Takes too much: `memory CHILDREN MIB`, `processes COUNT`, or `cpu LOOPS`, each for a bounded time."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

_SECONDS = 60.0


def memory(children: int, mib: int) -> None:
    """Children that each fill so much; the first process notices when one of them is picked."""
    pids = [_child(lambda: _fill(mib)) for _ in range(children)]
    codes = [os.waitpid(pid, 0)[1] for pid in pids]
    print("halved" if any(codes) else "whole", flush=True)


def processes(count: int) -> None:
    """Fork so often, whatever comes of it."""
    for _ in range(count):
        try:
            _child(lambda: _rest(_SECONDS))
        except BlockingIOError:
            _rest(0.01)
    _rest(_SECONDS)


def cpu(loops: int) -> None:
    """Loops side by side for some seconds; says what they had together."""
    began = time.monotonic()
    pids = [_child(lambda: _spin(began + 10)) for _ in range(loops)]
    for pid in pids:
        os.waitpid(pid, 0)
    took = time.monotonic() - began
    print(f"used {sum(os.times()[2:4]) / took:.3f} of a processor", flush=True)


def _child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def _fill(mib: int) -> None:
    kept = []
    for _ in range(mib):
        kept.append(bytes([1]) * (1 << 20))
        _rest(0.01)
    _rest(_SECONDS)


def _spin(until: float) -> None:
    while time.monotonic() < until:
        pass


def _rest(seconds: float) -> None:
    threading.Event().wait(seconds)


PROGRAMS: dict[str, Callable[..., None]] = {"memory": memory, "processes": processes, "cpu": cpu}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*map(int, sys.argv[2:]))
