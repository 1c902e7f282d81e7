"""Hogs at full size beside normal tasks, with the kernel holding what it can and without it; the long form of
test_warden_limits."""

from __future__ import annotations

import os
import re
import statistics
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.agent_runner.warden.protocol import Ended, Release, Spawned
from tests.runner.support import WardenUnderTest
from tests.runner.test_warden_limits import MODES, PYTHON
from tests.waiting import CLOCK

pytestmark = pytest.mark.long

LIMIT = 256 << 20
# Eight children, 100 MB each, together 100 MB a second; a parent that notices when one of them is picked.
GROWING = (
    PYTHON
    + "import subprocess, sys\n"
    + "grow = 'import time\\nx = []\\nfor _ in range(100): x.append(bytes([1]) * (1 << 20)); time.sleep(0.08)'\n"
    + "children = [subprocess.Popen([sys.executable, '-S', '-E', '-c', grow]) for _ in range(8)]\n"
    + "print('halved' if any(child.wait() for child in children) else 'whole', flush=True)\n"
)
# A counter of its own bounds the bomb, whatever becomes of its limit.
BOMB = (
    PYTHON
    + "import os, time\n"
    + "for _ in range(300):\n"
    + "    try:\n"
    + "        if os.fork() == 0:\n"
    + "            time.sleep(8); os._exit(0)\n"
    + "    except BlockingIOError:\n"
    + "        time.sleep(0.01)\n"
    + "time.sleep(8)\n"
)
HOGS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "fork bomb": (BOMB, {"processes_max": 64}, "processes", r"killed: processes 64 limit.*"),
    "flood": (
        "#!/bin/sh\nhead -c 10G /dev/zero\n",
        {"output_bytes_max": 64 << 20},
        "output",
        r"killed: output 64 MB.*",
    ),
    "one line": (
        "#!/bin/sh\nhead -c 1G /dev/zero | tr '\\0' x\n",
        {"output_bytes_max": 64 << 20},
        "output",
        r"killed: output 64 MB limit.*",
    ),
    "files": (
        PYTHON
        + "import os\nos.chdir(os.environ['QUANTUM_WORKDIR'])\n"
        + "for n in range(100_000): os.close(os.open(str(n), os.O_CREAT | os.O_WRONLY))\n",
        {"work_files_max": 20_000},
        "files",
        r"killed: files 20,000 limit.*",
    ),
    "sleep": ("#!/bin/sh\nsleep 100000\n", {"timeout": 2.0}, "timeout", r"ended: ran longer than its 2s \(timeout\)"),
    "busy": (
        "#!/bin/sh\nfor i in $(seq $(nproc)); do while :; do :; done & done; wait\n",
        {"cpu_seconds": 1.0},
        "cpu_time",
        r"ended: used more than its 1s of processor time \(cpu_time\)",
    ),
}
NORMAL = PYTHON + "sum(range(4_000_000))\n"


@pytest.fixture(params=MODES)
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WardenUnderTest]:
    """A warden in each mode; where no cgroup may be written there is only one."""
    warden = WardenUnderTest(tmp_path, f"hogs-{os.getpid()}", kernel_limits=request.param)
    try:
        if request.param == "auto" and warden.ready.enforcement["memory"] != "kernel":
            pytest.skip("no cgroup may be written here (as root, or in a delegated subtree, it may)")
        yield warden
    finally:
        warden.close()


class Peak(threading.Thread):
    """Looks for itself how much memory of their own the descendants of a process hold, 50 times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._process = psutil.Process(pid)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            held = 0
            try:
                for process in [self._process, *self._process.children(recursive=True)]:
                    memory = process.memory_info()
                    held += memory.rss - memory.shared
            except psutil.NoSuchProcess:
                continue
            self.bytes = max(self.bytes, held)

    def done(self) -> int:
        """The most that was seen."""
        self._over.set()
        self.join()
        return self.bytes


def grow(warden: WardenUnderTest, **limit: Any) -> tuple[Ended, int]:
    """The growing script and what it was seen to hold at the most; three neighbours finish beside it."""
    warden.send(warden.order(warden.script("grow", GROWING), **limit))
    spawned = warden.expect(Spawned)
    peak = Peak(spawned.pid)
    peak.start()
    for key in "bcd":
        warden.send(warden.order(warden.shell("sleep 1; echo well"), key))
    for key in "bcd":
        neighbour = warden.ended(key)
        assert (neighbour.cause, neighbour.status) == ("exit", 0)
    return warden.ended(), peak.done()


def test_eight_children_over_their_memory_are_killed_as_one(held: WardenUnderTest) -> None:
    ended, seen = grow(held, memory_bytes=LIMIT)
    over = 100 * (seen / LIMIT - 1)
    print(f"{held.ready.enforcement['memory']}: {ended.sentence}; seen {seen / (1 << 20):.0f} MB, {over:+.1f} %")
    assert ended.cause == "memory" and ended.tree_dead
    assert re.fullmatch(r"killed: memory 256 MB limit, tree used [\d.]+ MB( and asked for more)?", ended.sentence)
    assert held.output(ended.slot) == b"", "a part of it was killed, and the rest saw it"
    assert over <= (10 if held.ready.enforcement["memory"] == "kernel" else 25)


def test_without_the_limit_all_eight_live(held: WardenUnderTest) -> None:
    """The control of the test above."""
    ended, seen = grow(held)
    assert (ended.cause, ended.status, held.output(ended.slot)) == ("exit", 0, b"whole\n")
    assert seen > 2 * LIMIT


def nine(warden: WardenUnderTest, name: str) -> float:
    """Nine normal tasks at a time; the median of how long they took, of which none may fail."""
    keys = [f"{name}-{number}" for number in range(9)]
    script = warden.script("normal", NORMAL)
    begun = CLOCK.boottime()
    warden.send(*[warden.order(script, key) for key in keys])
    took = []
    for key in keys:
        ended = warden.ended(key)
        assert (ended.cause, ended.status) == ("exit", 0), ended
        took.append(ended.ended_at - begun)
        if ended.slot >= 0:
            warden.send(Release(ended.slot))
    return statistics.median(took)


@pytest.mark.parametrize("name", list(HOGS))
def test_each_hog_is_ended_and_nine_normal_tasks_finish_beside_it(held: WardenUnderTest, name: str) -> None:
    script, limit, cause, sentence = HOGS[name]
    resident = psutil.Process(held.pid).memory_info().rss
    alone, beside = [], []
    for round_ in range(3):
        alone.append(nine(held, f"alone-{round_}"))
        key = f"hog-{round_}"
        held.send(held.order(held.script("hog", script), key, grace=1.0, **limit))
        held.expect(Spawned, lambda spawned, key=key: spawned.key == key)  # type: ignore[misc]
        beside.append(nine(held, f"beside-{round_}"))
        ended = held.ended(key)
        assert ended.cause == cause and re.fullmatch(sentence, ended.sentence), (ended.cause, ended.sentence)
        held.send(Release(ended.slot))
    ratio = statistics.median(beside) / statistics.median(alone)
    grown = (psutil.Process(held.pid).memory_info().rss - resident) / (1 << 20)
    print(f"{held.ready.enforcement['memory']}, {name}: {ended.sentence}; ratio {ratio:.2f}, warden {grown:+.1f} MB")
    assert grown <= 32
    assert ratio <= 1.5
