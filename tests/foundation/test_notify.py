"""What a service manager is told, on the sockets that it may choose, and signs of life from a loop that may hang."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from foundation import notify
from tests.waiting import eventually

ADDRESSES = ["path"] + (["abstract"] if sys.platform == "linux" else [])


@pytest.fixture(params=ADDRESSES)
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, Mapping[str, str]]]:
    """A socket of a manager, and what it gives its services to find it by."""
    abstract = request.param == "abstract"
    address = f"@quantum-notify-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(address.replace("@", "\0", 1) if abstract else address)
        door.settimeout(5)
        yield door, {"NOTIFY_SOCKET": address}


def test_each_message_is_one_datagram(manager: tuple[socket.socket, Mapping[str, str]]) -> None:
    door, environ = manager
    notify.ready("Serves\nat once.", environ=environ)
    assert door.recv(4096) == b"READY=1\nSTATUS=Serves at once."
    notify.status("Waits: port 5005 is taken.", environ=environ)
    assert door.recv(4096) == b"STATUS=Waits: port 5005 is taken."
    notify.beat(environ=environ)
    assert door.recv(4096) == b"WATCHDOG=1"
    notify.stopping(environ=environ)
    assert door.recv(4096).startswith(b"STOPPING=1\n")


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_manager_nothing_happens(environ: Mapping[str, str]) -> None:
    notify.ready(environ=environ)
    notify.beat(environ=environ)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_who_is_watched(environ: Mapping[str, str], seconds: float | None) -> None:
    assert notify.watch_seconds(environ) == seconds


async def test_a_loop_that_hangs_gives_no_sign_of_life(manager: tuple[socket.socket, Mapping[str, str]]) -> None:
    door, environ = manager
    door.setblocking(False)
    watched = {**environ, "WATCHDOG_USEC": "60000"}  # a sign of life every 20 ms
    beating = asyncio.create_task(notify.beat_for_ever(watched))
    try:
        signs = 0

        def some() -> bool:
            nonlocal signs
            signs += _drain(door)
            return signs >= 5

        await eventually(some, "signs of life")
        _drain(door)
        threading.Event().wait(0.3)  # the loop itself hangs
        hung = _drain(door)
    finally:
        beating.cancel()
    assert hung == 0


def _drain(door: socket.socket) -> int:
    count = 0
    while True:
        try:
            assert door.recv(64) == b"WATCHDOG=1"
        except BlockingIOError:
            return count
        count += 1
