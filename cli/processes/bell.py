"""Waits for signals and for time at once, without polling and without a lock that a handler could find taken."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType


class Bell:
    """Rings when a signal comes; to be used in the main thread, as a context.

    `threading.Event` would not do: its `set` in a handler waits for the lock that the interrupted `wait` may hold.
    """

    def __init__(self, *, stop_on: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)) -> None:
        self._stop_on = stop_on
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._before: dict[int, object] = {}
        self._descriptor_before = -1
        self.stop_signal: int | None = None
        """The first signal that asked for the end."""

    @property
    def stopping(self) -> bool:
        """Whether a signal, or `stop`, has asked for the end."""
        return self.stop_signal is not None

    def stop(self) -> None:
        """Ask for the end without a signal."""
        self.stop_signal = self.stop_signal or 0

    def wait(self, seconds: float | None) -> None:
        """Return at the next signal, or after a time; None waits for a signal alone."""
        ready, _, _ = select.select([self._near], [], [], seconds)
        if ready:
            self._near.recv(4096)

    def __enter__(self) -> Bell:
        self._descriptor_before = signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)
        for number in self._stop_on:
            self._before[number] = signal.signal(number, self._asked)
        # Python writes to the descriptor only for signals that have a handler.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._descriptor_before)
        self._near.close()
        self._far.close()

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.stop_signal is None:
            self.stop_signal = number
