"""Ports for servers that tests start: no outgoing connection and no other worker's server takes one meanwhile."""

from __future__ import annotations

import itertools
import os
import random
import socket

FIRST, END = 20_000, 32_000  # below what Linux and macOS give to outgoing connections


def _share() -> range:
    """This worker's part of the ports."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return range(FIRST + mine, END, workers)


# From anywhere in it, since somebody else may run tests on this machine too; none twice before all had their turn.
_TURNS = itertools.cycle(random.sample(_share(), len(_share())))


def free_port() -> int:
    """A port of this worker on which nobody listens; another one at each call."""
    for _ in _share():
        port = next(_TURNS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # taken
                continue
            return port
    raise AssertionError(f"no port between {FIRST} and {END} is free")
