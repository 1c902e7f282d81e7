"""Makes a process of a start order, without a shell in between, or says in a sentence why it cannot."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from typing import NamedTuple

from services.agent_runner.warden.cgroups import Bounds, Cell
from services.agent_runner.warden.environment import base_environment, let_through
from services.agent_runner.warden.host import Host
from services.agent_runner.warden.protocol import Start, Terms
from services.agent_runner.warden.slots import Slot

# A script expects them as they come from login(1). All are named because the C library asks the kernel about each one
# that is not, in the time between clone and exec.
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_OUT_OF_RESOURCES = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO}
)
_WHY = {
    errno.ENOEXEC: "{} has no first line that names its interpreter (such as #!/bin/sh), so it cannot be run",
    errno.EACCES: "{} is not executable (chmod +x makes it so), or its interpreter is not",
    errno.E2BIG: "{} was given more arguments than the system takes",
    errno.ELOOP: "{} is a link that leads in a circle",
}


class SpawnRefused(Exception):
    """A start order did not become a process; `cause` is `configuration` or `resources`."""

    def __init__(self, cause: str, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause
        self.sentence = sentence


class Prepared(NamedTuple):
    """The terms of some starts, and the environment that follows from them."""

    terms: Terms
    environment: dict[bytes, bytes]
    bounds: Bounds


class Spawner:
    """Spawns scripts into sessions of their own, with fds 0–2 only.

    Those are fds 0–2 of this process, which has no other use for them: told to do it, posix_spawn asks for the limit
    of open files twice per descriptor.
    """

    def __init__(self, host: Host, run: str, own: Mapping[str, str]) -> None:
        self._host = host
        self._run = run
        self._own = own
        self._base = base_environment(own)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def prepare(self, terms: Terms) -> Prepared:
        """What all starts on these terms share."""
        variables = {**self._base, **let_through(self._own, terms.names), **terms.variables}
        environment = {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
        return Prepared(terms, environment, Bounds(terms.memory_bytes, terms.processes_max, terms.cpu_cores))

    def spawn(self, order: Start, prepared: Prepared, slot: Slot, cell: Cell | None) -> tuple[int, int]:
        """Start the script, inside the cell where there is one; returns its pid and tag.

        Raises SpawnRefused, or OSError for what is not the script's fault; nothing runs then.
        """
        terms = prepared.terms
        self._enter(terms.folder)
        program = self._resolve(terms.argv[0])
        self._host.limit_next(memory_bytes=terms.memory_bytes, open_files_max=terms.open_files_max)
        os.dup2(slot.output, 1)
        os.dup2(slot.output, 2)
        pid = None
        tag = self._host.tag_next()
        try:
            if cell:
                cell.enter(prepared.bounds)
            pid = os.posix_spawn(
                program,
                [*terms.argv, *order.arguments],
                self._environment(order, prepared, slot, tag),
                setsid=True,
                setsigmask=[],
                setsigdef=_DEFAULT_SIGNALS,
            )
        except OSError as error:
            raise _refusal(program, error) from error
        finally:
            if cell:
                cell.leave(pid)
            self._host.limited(pid, open_files_max=terms.open_files_max)
        if terms.nice:
            self._host.stand_back(pid, terms.nice)
        return pid, tag

    def _enter(self, folder: str) -> None:
        # posix_spawn has no working folder of its own; this process has one thread, so nobody else is moved.
        try:
            os.chdir(folder)
        except OSError as error:
            raise SpawnRefused("configuration", f"the folder {folder} cannot be entered: {error.strerror}") from error

    def _resolve(self, program: str) -> str:
        if "/" in program:
            return program
        for folder in self._base["PATH"].split(":"):
            candidate = os.path.join(folder or ".", program)
            if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
                return candidate
        raise SpawnRefused("configuration", f"the program {program} is not on the PATH ({self._base['PATH']})")

    def _environment(self, order: Start, prepared: Prepared, slot: Slot, tag: int) -> dict[bytes, bytes]:
        environment = {**prepared.environment, **slot.environment}
        for name, value in order.variables.items():
            environment[name.encode()] = value.encode()
        environment[b"QUANTUM_RUN"] = f"{self._run}.{tag}".encode()
        if order.last_report:
            environment[b"QUANTUM_LAST_REPORT"] = slot.last_report.encode()
        if order.credential:
            environment[b"QUANTUM_CREDENTIAL"] = slot.credential.encode()
        if order.secrets:
            environment[b"QUANTUM_SECRETS"] = slot.secrets.encode()
        return environment


def _refusal(program: str, error: OSError) -> SpawnRefused:
    if error.errno in _OUT_OF_RESOURCES:
        return SpawnRefused("resources", f"{program} could not be started just now: {error.strerror}")
    if error.errno == errno.ENOENT:
        if os.path.exists(program):
            return SpawnRefused("configuration", f"the interpreter in the first line of {program} does not exist")
        return SpawnRefused("configuration", f"{program} does not exist")
    why = _WHY.get(error.errno or 0)
    if why:
        return SpawnRefused("configuration", why.format(program))
    return SpawnRefused("configuration", f"{program} could not be started: {error.strerror}")
