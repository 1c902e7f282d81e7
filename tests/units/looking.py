"""Waits for what other processes do, in tests that are not asynchronous."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from foundation.clock import SystemClock

T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, *, within: float = 30.0) -> T:
    """Look again and again until there is something true, and return it; fails with what was seen last."""
    clock, pause = SystemClock(), threading.Event()
    deadline = clock.boottime() + within
    while not (seen := look()):
        assert clock.boottime() < deadline, f"not within {within:g} s: {what}; seen last: {seen!r}"
        pause.wait(0.05)
    return seen
