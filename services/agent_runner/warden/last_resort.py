"""What a warden does when its own loop fails: it ends every tree, by means that know nothing of the loop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

from foundation.clock import Clock
from services.agent_runner.warden import reaping
from services.agent_runner.warden.host import Host, RunMark


def end_everything(fault: Exception, host: Host, mark: RunMark, clock: Clock, link: socket.socket) -> None:
    """End every process of this run, however long that takes: a tree that nobody guards could run a second time
    elsewhere. Whatever can be ended has ended within `REAP_GRACE_SECONDS`; for what cannot, the link is given up, so
    that the runner knows.
    """
    _say(f"the warden has failed ({_described(fault)}); it ends every script and then itself")
    # From here on nobody waits for children: the system has to forget them by itself, but for those that are dead now.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    left = reaping.end_run(host, mark, clock, grace=reaping.REAP_GRACE_SECONDS)
    if left.alive:
        _say(f"processes that cannot be ended yet: {' '.join(map(str, left.alive))}")
        link.close()
    while left.alive:
        left = reaping.end_run(host, mark, clock, grace=0.0)


def _described(fault: Exception) -> str:
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(fault.__traceback__)]
    return f"{type(fault).__name__}: {fault}, at {' › '.join(places)}"


def _say(sentence: str) -> None:
    # Whoever listened may be gone; what follows is done all the same.
    with contextlib.suppress(OSError):
        print(f"warden: {sentence}", file=sys.stderr, flush=True)
