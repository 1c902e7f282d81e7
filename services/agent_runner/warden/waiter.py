"""What a process that waits for a script in a sandbox says about it: its exit, its signal, or that it never began."""

from __future__ import annotations

import os
import signal

from services.agent_runner.warden.attempt import Attempt, Breach
from services.agent_runner.warden.host import Host

_SIGNALLED = 128
_SIGNALS = frozenset(signal.valid_signals())
# bubblewrap, and setpriv before the script is there, say so on standard error and exit with this.
_FAILED = {1: b"bwrap: ", 125: b"landlock: ", 126: b"setpriv: ", 127: b"setpriv: "}
_SAID_BYTES_MAX = 1024


def script_status(status: int) -> int:
    """The script's own status as wait(2) would give it, from that of bubblewrap.

    bubblewrap exits with 128 + n for a script that was ended by signal n, and with the script's own code otherwise. A
    script that exits with such a code by itself, as shells do whose last command was ended so, is taken for one that
    was signalled: the two look alike from outside.
    """
    if os.WIFEXITED(status):
        number = os.WEXITSTATUS(status) - _SIGNALLED
        if number in _SIGNALS:
            return number
    return status


def note_stragglers(attempt: Attempt, host: Host) -> None:
    """The sandbox's first process, left by its waiter, is no straggler; what has it for a parent now is."""
    for pid in host.tagged({attempt.tag}).get(attempt.tag, ()):
        about = host.about(pid) if pid not in (attempt.init, attempt.pid) else None
        if about is not None and not about.ended:
            attempt.stragglers[pid] = about.name


def breach(attempt: Attempt) -> Breach:
    """Why it ended, which for a sandbox that could not be made is no exit of the script's."""
    if attempt.breach.cause != "exit" or attempt.status is None or not os.WIFEXITED(attempt.status):
        return attempt.breach
    prefix = _FAILED.get(os.WEXITSTATUS(attempt.status))
    if prefix is None or attempt.output_seen > _SAID_BYTES_MAX:
        return attempt.breach
    said = attempt.slot.read_output(attempt.output_seen)
    if not said.startswith(prefix):
        return attempt.breach
    return Breach("sandbox", f"it could not be started in its sandbox ({said.decode(errors='replace').strip()})")
