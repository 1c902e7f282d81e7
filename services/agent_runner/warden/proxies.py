"""The warden's side of the proxy: a listening socket for each list of hosts, and the process that serves them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_BACKLOG = 128
_LINK_FD = 3
_MODULE = "services.agent_runner.warden.proxy"


class Proxies:
    """Made when the first sandbox asks for hosts. Connections wait in the socket until the process is there."""

    def __init__(self, folder: Path, started: Callable[[int], None], mark: Callable[[], int]) -> None:
        """`mark` gives the next process a tag of its own; `started` is told its pid."""
        self._folder = folder
        self._started = started
        self._mark = mark
        self._lists: dict[tuple[str, ...], tuple[str, socket.socket]] = {}
        self._link: socket.socket | None = None

    def way_to(self, hosts: Sequence[str]) -> str:
        """The path of the socket that leads to these hosts and no others; raises OSError."""
        key = tuple(sorted(hosts))
        if key not in self._lists:
            self._lists[key] = self._listen(len(self._lists))
            if self._alive():
                self._hand_over(key)
        if not self._alive():
            self._start()
        return self._lists[key][0]

    def _listen(self, number: int) -> tuple[str, socket.socket]:
        if not number:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(mode=0o700)
        listener = socket.socket(socket.AF_UNIX)
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
        try:
            # By the descriptor: the path of a workspace may be longer than a socket's may be.
            listener.bind(f"/proc/self/fd/{folder}/{number}")
        finally:
            os.close(folder)
        path = str(self._folder / str(number))
        # Whoever the script is run as: the folder is closed, and the sandbox has this one socket alone.
        os.chmod(path, 0o666)
        listener.listen(_BACKLOG)
        return path, listener

    def _alive(self) -> bool:
        if self._link is None:
            return False
        with contextlib.suppress(BlockingIOError):
            return self._link.recv(1, socket.MSG_DONTWAIT) != b""
        return True

    def _start(self) -> None:
        if self._link is not None:
            self._link.close()
        # Kept as messages, so that one list is not taken for a part of the next.
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._mark()
        errors = sys.stderr.fileno()
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-m", _MODULE],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, errors, 2),
                    (os.POSIX_SPAWN_DUP2, nothing, 1),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), _LINK_FD),
                ],
                setsid=True,
                setsigmask=[],
            )
        finally:
            os.close(nothing)
            theirs.close()
        self._started(pid)
        for key in self._lists:
            self._hand_over(key)

    def _hand_over(self, key: tuple[str, ...]) -> None:
        assert self._link is not None, "the process is there"
        socket.send_fds(self._link, [json.dumps(key).encode()], [self._lists[key][1].fileno()])

    def close(self) -> None:
        """Let the process end, and leave nothing behind."""
        if self._link is not None:
            self._link.close()
        for _, listener in self._lists.values():
            listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)
