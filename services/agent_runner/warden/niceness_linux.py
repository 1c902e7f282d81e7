"""How scripts stand back for other work on Linux: nice from their birth, and their session where that counts."""

from __future__ import annotations

import contextlib
import errno
import os
import resource

_CAP_SYS_NICE = 23


class StandsBack:
    """These methods of `Host`."""

    def __init__(self) -> None:
        self._own_nice = self._nice = os.getpriority(os.PRIO_PROCESS, 0)
        self._may_renice = _may_renice(self._own_nice)

    def stand_back_next(self, nice: int) -> None:
        """See `Host`. It stands back at the disk too, where its class, best effort, then is (nice + 20) / 5."""
        self._renice(nice or self._own_nice)

    def stands_back(self, pid: int, nice: int) -> None:
        """See `Host`. Who may not take its own nice back sets the group's, moments after its birth."""
        if not self._may_renice:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.setpriority(os.PRIO_PGRP, pid, nice)

    def stand_forward(self) -> None:
        """See `Host`."""
        self._renice(self._own_nice)

    def _renice(self, nice: int) -> None:
        # Each change sends this process to the end of the queue for a processor.
        if self._may_renice and nice != self._nice:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
            self._nice = nice

    def stand_back_as_session(self, pid: int, nice: int) -> bool:
        """See `Host`. With autogroups a nice value counts within its session alone."""
        try:
            handle = os.open(f"/proc/{pid}/autogroup", os.O_WRONLY)
        except OSError:
            return True  # the system has none, or it is not ours to change
        try:
            os.write(handle, str(nice).encode())
        except OSError as error:
            # Who is not privileged may do it ten times a second, all users together.
            return error.errno != errno.EAGAIN
        finally:
            os.close(handle)
        return True


def _may_renice(nice: int) -> bool:
    """Whether this process may come back to a nice value that it had."""
    with open("/proc/self/status", "rb") as status:
        held = next(int(line.split()[1], 16) for line in status if line.startswith(b"CapEff:"))
    return bool(held >> _CAP_SYS_NICE & 1) or resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20 - nice
