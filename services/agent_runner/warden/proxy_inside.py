"""Runs inside a sandbox: passes connections to 127.0.0.1 on to the socket of the proxy outside, and runs the script.

`python -I -S proxy_inside.py SOCKET PROGRAM [ARGUMENT …]`. It ends as the script ends. A file of its own, without
imports of ours: it has to start quickly, and where none of our packages can be seen.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import socket
import sys

_CONNECTIONS_MAX = 64
_PIECE_BYTES = 65536
_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_FAILED = 126


def main(proxy: str, program: str, arguments: list[str]) -> int:
    """Serve until the script has ended; returns its status as wait(2) gives it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=_CONNECTIONS_MAX)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = dict(os.environ)
    for name in _NAMES:
        environment[name] = environment[name.lower()] = address
    for name in ("NO_PROXY", "no_proxy"):
        environment.pop(name, None)
    # What ends the tree is the script's to obey; this process goes when the script has gone.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    defaults = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
    pid = os.posix_spawn(program, [program, *arguments], environment, setsigmask=[], setsigdef=defaults)
    _thread.start_new_thread(_accept, (listener, proxy))
    return os.waitpid(pid, 0)[1]


def _accept(listener: socket.socket, proxy: str) -> None:
    room = [_CONNECTIONS_MAX]
    while True:
        client, _ = listener.accept()
        if room[0] <= 0:
            client.close()
            continue
        room[0] -= 1
        _thread.start_new_thread(_serve, (client, proxy, room))


def _serve(client: socket.socket, proxy: str, room: list[int]) -> None:
    outside = socket.socket(socket.AF_UNIX)
    try:
        outside.connect(proxy)
        back = _thread.allocate_lock()
        back.acquire()
        _thread.start_new_thread(_pass_back, (outside, client, back))
        _pass(client, outside)
        back.acquire()
    except OSError:
        # The proxy is away: a closed connection says so to the script.
        return
    finally:
        outside.close()
        client.close()
        room[0] += 1


def _pass_back(source: socket.socket, sink: socket.socket, done: _thread.LockType) -> None:
    _pass(source, sink)
    done.release()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE_BYTES):
            sink.sendall(data)
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)


def end_as(status: int) -> None:
    """End in the way that a status of wait(2) tells."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    try:
        end_as(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
    except OSError as error:
        print(f"{sys.argv[2]} could not be started in its sandbox: {error}", file=sys.stderr)
        sys.exit(_FAILED)
