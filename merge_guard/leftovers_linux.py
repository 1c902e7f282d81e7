"""What a test has left behind on Linux: everything that it started comes to us, however it detached itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from collections.abc import Iterator

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
# A process that does nothing but fork and exit is caught long before.
_ROUNDS_MAX = 10_000


class Leftovers:
    """From entering on, orphans of what is started become children of this process; children it had are let be."""

    def __enter__(self) -> Leftovers:
        self._libc = ctypes.CDLL(None, use_errno=True)
        was = ctypes.c_int()
        self._libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(was), 0, 0, 0)
        self._was = was.value
        self._set(1)
        self._before = frozenset(_children())
        return self

    def __exit__(self, *_: object) -> None:
        self._set(self._was)

    def end(self, group: int, seconds_max: float) -> bool:
        """Kill everything that was started since, until nothing is left; False: something could not be ended.

        Each round kills the children of this process, whose own children become ours in turn; `seconds_max` is for each
        of them to die. The process group of the test, `group`, is of no use here: whoever wants to stay has left it.
        """
        for _ in range(_ROUNDS_MAX):
            pids = [pid for pid in _children() if pid not in self._before]
            if not pids:
                return True
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            dead = [_reaped(pid, seconds_max) for pid in pids]
            if not all(dead):
                return False
        return False

    def _set(self, value: int) -> None:
        if self._libc.prctl(_PR_SET_CHILD_SUBREAPER, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _reaped(pid: int, seconds_max: float) -> bool:
    """Wait for a killed child and take its remains; False when it is not dead in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not select.select([descriptor], [], [], seconds_max)[0]:
            return False
    finally:
        os.close(descriptor)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    return True


def _children() -> Iterator[int]:
    """The children of this process, the dead among them included."""
    own = os.getpid()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # Behind the name, which may hold anything: state, parent.
                if int(file.read().rpartition(b")")[2].split()[1]) == own:
                    yield int(name)
