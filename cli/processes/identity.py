"""Processes by identity: a pid and the moment it started, so that nobody else's process is ever signalled."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from foundation.process_identity import identity_of

_HAS_PIDFD = hasattr(os, "pidfd_open")


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `identity` is of this boot and this start, and of no later holder of the same pid."""

    pid: int
    identity: str

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return identity_of(self.pid) == self.identity

    def send(self, number: int) -> bool:
        """Send a signal to this very process; False when it has gone."""
        if not _HAS_PIDFD:
            return self._send_by_pid(number)
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Looked at after the descriptor is held: from here on the pid cannot become somebody else's.
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _send_by_pid(self, number: int) -> bool:
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def process(pid: int) -> Process | None:
    """The process that has a pid now; None when there is none, or only a zombie."""
    identity = identity_of(pid)
    return Process(pid, identity) if identity else None


def descendants(parents: Iterable[Process], *, deep: bool = True) -> list[Process]:
    """All processes below these, at this moment; without `deep` their children alone."""
    import psutil

    found: dict[int, Process] = {}
    for parent in parents:
        try:
            below = psutil.Process(parent.pid).children(recursive=deep)
        except psutil.Error:
            continue
        for child in below:
            known = process(child.pid)
            if known is not None:
                found[child.pid] = known
    return list(found.values())


def of_agents(workspace: Path) -> list[Process]:
    """Every process of this user that carries this workspace and a task in its environment, whoever started it.

    The environment is that of the process's start, so that what an agent's script started is found too, unless it
    was started with an environment of its own. This process and those above it are left out: a `quantum` that an
    agent itself calls is no runaway.
    """
    import psutil

    spared = {os.getpid(), *(above.pid for above in psutil.Process().parents())}
    found = []
    for candidate in psutil.process_iter():
        if candidate.pid in spared:
            continue
        try:
            environment = candidate.environ()
        except (psutil.Error, OSError):  # gone meanwhile, or somebody else's
            continue
        if environment.get("QUANTUM_TASK_ID") and _same(environment.get("QUANTUM_WORKSPACE"), workspace):
            known = process(candidate.pid)
            if known is not None:
                found.append(known)
    return found


def _same(named: str | None, workspace: Path) -> bool:
    return named is not None and os.path.realpath(named) == os.path.realpath(workspace)


def command_of(pid: int) -> str:
    """What a process was started as, cut to a line's length; its name, or `?`, when the system does not tell."""
    import psutil

    try:
        found = psutil.Process(pid)
        return (" ".join(found.cmdline()) or found.name())[:120]
    except psutil.Error:
        return "?"


def to_json(processes: Mapping[str, Process]) -> dict[str, dict[str, object]]:
    """For `runtime.json`: by name, the pid and the identity."""
    return {name: {"pid": one.pid, "identity": one.identity} for name, one in processes.items()}


def from_json(document: Mapping[str, Mapping[str, object]]) -> dict[str, Process]:
    """The reverse of `to_json`; raises KeyError, TypeError or ValueError for anything else."""
    return {name: Process(int(str(one["pid"])), str(one["identity"])) for name, one in document.items()}
