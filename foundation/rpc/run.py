"""Runs a service's main coroutine on uvloop until it ends or the system asks it to."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from foundation import notify

T = TypeVar("T")

# SQLite gives the interpreter's lock back at every step, and a thread that wants it again waits this long
# beside a busy loop. At Python's 5 ms a saturated loop left the writer thread 50 works a second, at 0.5 ms 900.
SWITCH_INTERVAL_SECONDS = 0.000_5

# A batch makes thousands of objects that are gone with it: looked at every 700 of them, as by default, they and all
# that is loaded cost a tenth of a busy coordinator's time.
COLLECT_AFTER = (20_000, 20, 50)


def spare_the_loaded() -> None:
    """Called once a service stands: the collector never looks again at what is there now, and seldom at the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run `main(stop)` and return its result; SIGTERM or SIGINT sets `stop`, and `main` is to end by itself.

    The signs of life that a service manager may wait for come from this very loop: one that hangs gives none.

    uvloop serves as the loop only: its subprocesses went wrong in 5 % of our runs.
    """

    async def until_told() -> T:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            notify.stopping()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        beating = loop.create_task(notify.beat_for_ever())
        try:
            return await main(stop)
        finally:
            beating.cancel()

    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(until_told())
