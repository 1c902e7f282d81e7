"""Makes a process of a start order, without a shell in between, or says in a sentence why it cannot."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping

from services.agent_runner.warden.environment import base_environment, let_through
from services.agent_runner.warden.host import Host
from services.agent_runner.warden.protocol import Start
from services.agent_runner.warden.slots import Slot

# Python ignores these; a script expects them as they come from login(1).
_DEFAULT_SIGNALS = [
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD,
]  # fmt: skip
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


class Spawner:
    """Spawns scripts into sessions of their own, with fds 0–2 only."""

    def __init__(self, host: Host, run: str, own: Mapping[str, str]) -> None:
        self._host = host
        self._run = run
        self._own = own
        self._base = base_environment(own)
        self._nothing = os.open(os.devnull, os.O_RDONLY)

    def spawn(self, order: Start, slot: Slot) -> tuple[int, int]:
        """Start the script; returns its pid and tag. Raises SpawnRefused; nothing runs then."""
        self._enter(order.folder)
        program = self._resolve(order.argv[0])
        self._host.limit_next(memory_bytes=order.memory_bytes, open_files_max=order.open_files_max)
        pid = None
        tag = self._host.tag_next()
        try:
            pid = os.posix_spawn(
                program,
                order.argv,
                self._environment(order, slot, tag),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, self._nothing, 0),
                    (os.POSIX_SPAWN_DUP2, slot.output, 1),
                    (os.POSIX_SPAWN_DUP2, slot.output, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=_DEFAULT_SIGNALS,
            )
        except OSError as error:
            raise _refusal(program, error) from error
        finally:
            self._host.limited(pid, open_files_max=order.open_files_max)
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

    def _environment(self, order: Start, slot: Slot, tag: int) -> dict[str, str]:
        variables = {
            **self._base,
            **let_through(self._own, order.names),
            **order.variables,
            "QUANTUM_RUN": f"{self._run}.{tag}",
            "QUANTUM_PARAMS": slot.params,
            "QUANTUM_REPORT": slot.report,
            "QUANTUM_WORKDIR": slot.work,
        }
        if order.last_report:
            variables["QUANTUM_LAST_REPORT"] = slot.last_report
        return variables


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
