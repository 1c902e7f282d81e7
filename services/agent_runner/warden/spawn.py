"""Makes a process of a start order, without a shell in between, or says in a sentence why it cannot."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Mapping
from typing import NamedTuple

from services.agent_runner.warden.boxes import Boxes, Wrapped, first_line_interpreter
from services.agent_runner.warden.cgroups import Bounds, Cell
from services.agent_runner.warden.environment import base_environment, let_through
from services.agent_runner.warden.host import Host
from services.agent_runner.warden.protocol import Start, Terms
from services.agent_runner.warden.sandbox import Asked, Unavailable, open_file
from services.agent_runner.warden.slots import Slot

# A script expects them as they come from login(1). All are named because the C library asks the kernel about each one
# that is not, in the time between clone and exec.
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_OUT_OF_RESOURCES = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO}
)
# The kernel takes no larger number for a limit, and has no more pids.
_PROCESSES_MAX = 1 << 22
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
    asked: Asked | None = None  # what the script is wrapped in
    refusal: str = ""  # why nothing starts on these terms here; empty: it does


class Spawner:
    """Spawns scripts into sessions of their own, with fds 0–2 only.

    Those are fds 0–2 of this process, which has no other use for them: told to do it, posix_spawn asks for the limit
    of open files twice per descriptor.
    """

    def __init__(self, host: Host, run: str, own: Mapping[str, str], boxes: Boxes) -> None:
        self._host = host
        self._boxes = boxes
        self._run = run
        self._own = own
        self._base = base_environment(own)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    @property
    def waits(self) -> bool:
        """Whether the process of a wrapped start is one that waits for the script."""
        return self._boxes.supervised

    def prepare(self, terms: Terms) -> Prepared:
        """What all starts on these terms share."""
        variables = {**self._base, **let_through(self._own, terms.names), **terms.variables}
        environment = {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
        asked, refusal = None, ""
        try:
            asked = self._boxes.asked(terms)
        except Unavailable as missing:
            refusal = str(missing)
        # What a sandbox needs for itself is not the script's.
        most = terms.processes_max + self._boxes.own_processes(asked) if terms.processes_max else 0
        most = min(most, _PROCESSES_MAX)
        return Prepared(terms, environment, Bounds(terms.memory_bytes, most, terms.cpu_cores), asked, refusal)

    def spawn(self, order: Start, prepared: Prepared, slot: Slot, cell: Cell | None) -> tuple[int, int]:
        """Start the script, inside the cell where there is one; returns its pid and tag.

        Raises SpawnRefused, ValueError for text that the system does not take, or OSError for what is not the script's
        fault; nothing runs then. `rest` is due after the last of several.
        """
        terms = prepared.terms
        if prepared.refusal:
            raise SpawnRefused("configuration", prepared.refusal)
        self._enter(terms.folder)
        program, argv = self._resolve(terms.argv[0]), [*terms.argv, *order.arguments]
        if prepared.asked is None:
            return self._spawn(program, argv, {}, order, prepared, slot, cell)
        wrapped = self._wrap(prepared.asked, program, argv, slot)
        try:
            return self._spawn(wrapped.program, wrapped.argv, wrapped.environment, order, prepared, slot, cell)
        finally:
            wrapped.spawned()

    def _spawn(
        self,
        program: str,
        argv: list[str],
        over: dict[bytes, bytes],
        order: Start,
        prepared: Prepared,
        slot: Slot,
        cell: Cell | None,
    ) -> tuple[int, int]:
        terms = prepared.terms
        self._host.limit_next(memory_bytes=terms.memory_bytes, open_files_max=terms.open_files_max)
        os.dup2(slot.output, 1)
        os.dup2(slot.output, 2)
        tag = self._host.tag_next()
        environment = {**self._environment(order, prepared, slot, tag), **over}
        self._host.stand_back_next(terms.nice)
        pid = None
        try:
            if cell:
                cell.enter(prepared.bounds)
            pid = self._bear(program, argv, environment)
        finally:
            self._step_back(pid, terms, cell)
        return pid, tag

    def rest(self) -> None:
        """To be called when all that was to be spawned now has been."""
        self._host.stand_forward()

    def _bear(self, program: str, argv: list[str], environment: dict[bytes, bytes]) -> int:
        try:
            return os.posix_spawn(program, argv, environment, setsid=True, setsigmask=[], setsigdef=_DEFAULT_SIGNALS)
        except OSError as error:
            raise _refusal(program, error) from error

    def _step_back(self, pid: int | None, terms: Terms, cell: Cell | None) -> None:
        """Be again what this process was before the spawn, whatever fails on the way."""
        try:
            try:
                if terms.nice and pid is not None:
                    self._host.stands_back(pid, terms.nice)
            finally:
                try:
                    if cell:
                        cell.leave(pid)
                finally:
                    self._host.limited(pid, open_files_max=terms.open_files_max)
        except OSError:
            if pid is not None:
                # It is not held to its limits, and will be told as not started: it must not be there.
                os.killpg(pid, signal.SIGKILL)
            raise

    def _wrap(self, asked: Asked, program: str, argv: list[str], slot: Slot) -> Wrapped:
        _require_runnable(program)
        try:
            wrapped = self._boxes.wrap(asked, program, argv, slot)
        except Unavailable as missing:
            raise SpawnRefused("configuration", str(missing)) from missing
        slot.when_tidy(wrapped.release)
        return wrapped

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


def _require_runnable(program: str) -> None:
    """Say what the kernel would say if it were spawned: inside a sandbox nobody tells."""
    try:
        with open_file(program) as file:
            begin = file.read(2)
    except OSError as error:
        raise _refusal(program, error) from error
    if not os.access(program, os.X_OK):
        raise _refusal(program, OSError(errno.EACCES, os.strerror(errno.EACCES)))
    if begin not in (b"#!", b"\x7fE") and sys.platform == "linux":
        raise _refusal(program, OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC)))
    interpreter = first_line_interpreter(program)
    if interpreter and not os.path.exists(interpreter):
        raise _refusal(program, OSError(errno.ENOENT, os.strerror(errno.ENOENT)))


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
