"""How a process of ours begins and ends, whoever starts it, and what is different below a service manager.

A unit holds its workspace together with the other units, so that `quantum up` and whatever else wants it for itself is
refused; it writes down who it is, so that every command knows what runs; and when it can never start as it is set up it
says so in a sentence and ends in a way that its manager does not answer with another start.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from foundation import notify
from foundation.errors import Conflict, Kind, QuantumError
from foundation.files import atomic_write
from foundation.log import configure, get_logger
from foundation.process_identity import identity_of
from foundation.settled import require_settled
from foundation.workspace import Workspace, WorkspaceLock, find_workspace

T = TypeVar("T")

MANAGERS = ("systemd", "launchd")
EXIT_CODES = {Kind.INVALID: 78, Kind.NOT_FOUND: 78, Kind.CONFLICT: 69, Kind.DENIED: 77}
"""As in sysexits.h: a configuration that is not right, something that is taken, rights that are missing; else 1."""
NEVER_BETTER = frozenset({77, 78})
"""What starting again as it is cannot mend. The units of systemd list these codes; launchd knows no such list, so that
below it such an end is reported as 0, the one code after which it leaves a job alone."""
DOES_NOT_START = "Does not start:"
"""How a unit's status begins when it says why."""
OUT_BYTES_MAX = 1024 * 1024
_STDERR = 2
_LOOK_AGAIN_SECONDS = (1.0, 2.0, 5.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every process of ours has."""
    parser.add_argument("--workspace", type=Path, help="default: QUANTUM_WORKSPACE, else the nearest one upwards")
    parser.add_argument("--debug", action="store_true", help="say more, on standard error")
    parser.add_argument("--unit", choices=MANAGERS, help="this service manager has started it")


def run_process(
    name: str, given: argparse.Namespace, work: Callable[[Workspace], int | None], *, record: str = ""
) -> int:
    """Do `work` in the workspace that the command line names, and return the exit code: its own, or that of an error.

    `record` is the name of its record as a unit, where that is not `name`. An error is a sentence on standard error;
    one of a service (verb `serve`, or none) is in the system's log as well.
    """
    unit: str | None = given.unit
    serves = getattr(given, "verb", "serve") == "serve"
    try:
        if given.workspace is None:
            workspace = find_workspace(os.environ, Path.cwd())
        else:
            workspace = Workspace(given.workspace.resolve())
        if serves:
            configure(name, system_log=workspace.system_log, debug=given.debug)
        if unit is None:
            if serves:
                require_settled(workspace)
            return work(workspace) or 0
        with _standing(name, record or name, workspace):
            require_settled(workspace)
            return work(workspace) or 0
    except QuantumError as error:
        code = EXIT_CODES.get(error.kind, 1)
        print(error, file=sys.stderr)
        if serves:
            get_logger(name).error(f"It does not start: {error}", action="does_not_start", code=error.code)
            notify.status(f"{DOES_NOT_START} {error}")
        return 0 if unit == "launchd" and code in NEVER_BETTER else code


def until_free(unit: str | None, name: str, take: Callable[[], T]) -> T:
    """What `take` returns. A unit waits for what somebody else has (Conflict), where others say so and end."""
    pause, looks = threading.Event(), iter(_LOOK_AGAIN_SECONDS)
    seconds = 0.0
    while True:
        try:
            return take()
        except Conflict as error:
            if unit is None:
                raise
            if not seconds:
                get_logger(name).warning(f"It waits: {error.message}", action="unit_waits", code=error.code)
            notify.status(f"Waits: {error.message}")
        seconds = next(looks, seconds)
        pause.wait(seconds)


def write_record(workspace: Workspace, name: str, **more: object) -> None:
    """Write down that this process is the unit `name`: `{"pid", "identity"}` and what else there is to say."""
    workspace.units.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = {"pid": os.getpid(), "identity": identity_of(os.getpid()), **more}
    atomic_write(workspace.units / f"{name}.json", json.dumps(record).encode(), durable=False)


@contextmanager
def _standing(name: str, record: str, workspace: Workspace) -> Iterator[None]:
    # A manager that finds us hung ends us with SIGABRT; where we hung is then in the file that takes our words.
    faulthandler.enable(_STDERR)
    _begin_anew(_STDERR)
    lock = WorkspaceLock(workspace.lock_file, shared=True)
    try:
        lock.acquire()
    except Conflict as error:
        get_logger(name).warning(f"It waits: {error.message}", action="unit_waits", code=error.code)
        notify.status(f"Waits: {error.message}")
        lock.acquire(wait=True)
    with lock:
        write_record(workspace, record)
        try:
            yield
        finally:
            (workspace.units / f"{record}.json").unlink(missing_ok=True)


def _begin_anew(descriptor: int) -> None:
    """Empty a file for our last words that has grown large: nobody rotates it below a process that has it open."""
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size > OUT_BYTES_MAX:
        os.ftruncate(descriptor, 0)
