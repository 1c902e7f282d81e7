"""The warden's side of the proxy: a listening socket for each sandbox with hosts, and the process that serves them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_BACKLOG = 128
_LINK_FD = 3
_MODULE = "services.agent_runner.warden.proxy"


class _Way(NamedTuple):
    """How one sandbox gets to its hosts."""

    number: int
    hosts: tuple[str, ...]
    listener: socket.socket


class Proxies:
    """Made when the first sandbox asks for hosts. Connections wait in the socket until the process is there."""

    def __init__(self, folder: Path, started: Callable[[int], None], mark: Callable[[], int]) -> None:
        """`mark` gives the next process a tag of its own; `started` is told its pid."""
        self._folder = folder
        self._started = started
        self._mark = mark
        self._ways: dict[str, _Way] = {}
        self._next = 0
        self._link: socket.socket | None = None

    def way_to(self, hosts: Sequence[str]) -> str:
        """The path of a socket that leads to these hosts and no others, until it is released; raises OSError."""
        path, listener = self._listen(self._next)
        self._ways[path] = way = _Way(self._next, tuple(hosts), listener)
        self._next += 1
        try:
            if self._alive():
                self._hand_over(way)
            else:
                self._start()
        except OSError:
            self.release(path)
            raise
        return path

    def release(self, path: str) -> None:
        """The sandbox has ended: its socket goes, and what is left of its connections."""
        way = self._ways.pop(path, None)
        if way is None:
            return
        way.listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        if self._alive():
            with contextlib.suppress(OSError):  # it has gone just now, and its connections with it
                self._tell([way.number, []])

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
        try:
            return self._link.recv(1) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False  # it went with an order unread

    def _start(self) -> None:
        if self._link is not None:
            self._link.close()
        # Kept as messages, so that one list is not taken for a part of the next.
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link.setblocking(False)
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
        for way in self._ways.values():
            self._hand_over(way)

    def _hand_over(self, way: _Way) -> None:
        self._tell([way.number, way.hosts], way.listener.fileno())

    def _tell(self, order: object, *fds: int) -> None:
        """Never waits: a process that takes nothing any more is let go, so that the next start makes another."""
        assert self._link is not None, "the process is there"
        try:
            socket.send_fds(self._link, [json.dumps(order).encode()], fds)
        except BlockingIOError:
            self._link.close()
            self._link = None
            raise

    def close(self) -> None:
        """Let the process end, and leave nothing behind."""
        if self._link is not None:
            self._link.close()
        for way in self._ways.values():
            way.listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)
