"""Holds the right to serve on a Unix socket, so that two servers never share one."""

from __future__ import annotations

import os
from pathlib import Path

from foundation.errors import Conflict, Invalid
from foundation.workspace import SOCKET_PATH_BYTES_MAX, WorkspaceLock


class SocketClaim:
    """A lock beside the socket (`<socket>.lock`), held as long as its server lives, however that ends."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._lock = WorkspaceLock(socket.with_name(socket.name + ".lock"))

    def take(self) -> None:
        """Take the right and remove what a dead server left there.

        Raises Conflict naming the process that has it, and Invalid when the path is too long for the system.
        """
        if len(os.fsencode(self._socket)) > SOCKET_PATH_BYTES_MAX:
            raise Invalid(
                "socket_path_too_long",
                f"The socket path {self._socket} is longer than {SOCKET_PATH_BYTES_MAX} bytes.",
                remedy="Set XDG_RUNTIME_DIR to a folder with a shorter name.",
            )
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Conflict as held:
            raise Conflict(
                "socket_in_use",
                f"Process {self._lock.holder() or '(unknown)'} serves on {self._socket} already.",
                remedy="`quantum status` shows what runs; `quantum down` ends it.",
            ) from held
        # Only the holder of the lock gets here, so the socket is nobody's.
        self._socket.unlink(missing_ok=True)

    def give_back(self) -> None:
        """Remove the socket and let the next server have it."""
        self._socket.unlink(missing_ok=True)
        self._lock.release()
