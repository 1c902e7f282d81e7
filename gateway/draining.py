"""The end of the worker: when it is told to stop, open streams end at once, so that the server can."""

from __future__ import annotations

import os
import signal
import socket
import threading
from datetime import timedelta

_PARENT_LOOK = timedelta(seconds=1)


class Drain:
    """A flag that goes up once; streams look at it at every tick."""

    def __init__(self) -> None:
        self._begun = threading.Event()

    @property
    def begun(self) -> bool:
        """Whether open streams are to end."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Raises the flag."""
        self._begun.set()

    def wait(self, time: timedelta) -> bool:
        """Waits until the flag is up, at most this long; whether it is."""
        return self._begun.wait(time.total_seconds())


def begin_on_signal(drain: Drain) -> None:
    """Raises the flag at SIGTERM or SIGINT; to be called in the main thread.

    The server installs its own handlers after us, so we listen beside them: Python writes the number of every signal
    that it handles to the wakeup descriptor.
    """
    receiving, sending = socket.socketpair()
    sending.setblocking(False)
    signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        with receiving, sending:
            while not drain.begun:
                if {*receiving.recv(64)} & {signal.SIGTERM, signal.SIGINT}:
                    drain.begin()

    threading.Thread(target=listen, name="stop-signals", daemon=True).start()


def stop_with_parent(parent: int, drain: Drain) -> None:
    """Ends this process soon after its parent has died, so that no orphan keeps the port."""

    def watch() -> None:
        while not drain.wait(_PARENT_LOOK):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
