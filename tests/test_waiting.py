"""The watch without pauses and the patience in looks, tried on a process that is stopped and on one that computes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import tests.waiting
from foundation.clock import ManualClock
from tests.waiting import CLOCK, PATIENCE_SECONDS, Patience, until

STOPPED_SECONDS = 0.6

WATCHED = """
import os, signal, time
from tests.waiting import CLOCK, Stopwatch

watch, began = Stopwatch(), CLOCK.boottime()
os.kill(os.getpid(), signal.SIGSTOP)
print(CLOCK.boottime() - began - watch.seconds)
watch, worked = Stopwatch(), time.process_time()
sum(range(20_000_000))  # one call: no other thread has a turn meanwhile
print(watch.seconds, time.process_time() - worked)
"""


def test_the_watch_leaves_out_what_was_a_pause_and_nothing_that_was_work() -> None:
    root = Path(__file__).resolve().parents[1]
    child = subprocess.Popen([sys.executable, "-c", WATCHED], cwd=root, stdout=subprocess.PIPE, text=True)
    assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
    stopped_at = CLOCK.boottime()
    until(lambda: CLOCK.boottime() - stopped_at > STOPPED_SECONDS, "it stood still for a while")
    child.send_signal(signal.SIGCONT)
    left_out, seconds, worked = map(float, child.communicate(timeout=PATIENCE_SECONDS)[0].split())
    assert left_out >= STOPPED_SECONDS * 0.9
    assert seconds >= worked * 0.99


def test_a_pause_takes_one_second_of_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    monkeypatch.setattr(tests.waiting, "CLOCK", clock)
    patience = Patience(3)
    clock.advance(timedelta(minutes=1))
    assert not patience.spent()
    clock.advance(timedelta(seconds=1.9))
    assert not patience.spent()
    clock.advance(timedelta(seconds=0.9))
    assert not patience.spent()
    clock.advance(timedelta(seconds=0.2))
    assert patience.spent()
