"""Tells the service manager how this process stands: the protocol of sd_notify(3), one datagram per message.

Where nobody listens (`NOTIFY_SOCKET` is not set) every call does nothing. The messages are those of systemd's manual:
`READY=1` once it really serves, `STOPPING=1`, `STATUS=` a sentence, `WATCHDOG=1` as a sign of life.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

_BEATS_PER_WATCH = 3
"""Two may be late before the manager takes a process for hung."""


def ready(sentence: str = "", *, environ: Mapping[str, str] = os.environ) -> None:
    """It serves; `sentence` says what or where."""
    _tell("READY=1", *_status(sentence), environ=environ)


def status(sentence: str, *, environ: Mapping[str, str] = os.environ) -> None:
    """What it does or waits for at the moment, for `service status` and `systemctl status`."""
    _tell(*_status(sentence), environ=environ)


def stopping(*, environ: Mapping[str, str] = os.environ) -> None:
    """It has been told to end and does so."""
    _tell("STOPPING=1", *_status("Ends in good order."), environ=environ)


def beat(*, environ: Mapping[str, str] = os.environ) -> None:
    """A sign of life: only the loop that does the work may give it."""
    _tell("WATCHDOG=1", environ=environ)


def watch_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """After how many seconds without a sign of life this process is taken for hung; None: nobody watches it."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # inherited from the process that is watched
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None


def beat_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """The pause between two signs of life; None where nobody waits for one."""
    watch = watch_seconds(environ)
    return None if watch is None else watch / _BEATS_PER_WATCH


async def beat_for_ever(environ: Mapping[str, str] = os.environ) -> None:
    """Give signs of life from this event loop, for as long as it turns; returns at once where nobody watches."""
    pause = beat_seconds(environ)
    while pause is not None:
        beat(environ=environ)
        await asyncio.sleep(pause)


def _status(sentence: str) -> tuple[str, ...]:
    # A line end would begin another field.
    return (f"STATUS={' '.join(sentence.split())}",) if sentence else ()


def _tell(*fields: str, environ: Mapping[str, str]) -> None:
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not fields:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as door:
        # A manager that is away or has its hands full must never hold up the work.
        door.setblocking(False)
        try:
            door.sendto("\n".join(fields).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError:
            return
