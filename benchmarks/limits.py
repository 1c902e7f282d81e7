"""What limits cost: a pass over a hundred trees, tasks per second beside xargs with the kernel holding limits and
without it, and what ten thousand short tasks leave behind in runner and warden."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks.system import PLAIN, SCRIPT, System, running
from benchmarks.throughput import AT_ONCE, plain_script, run_all, shell
from services.agent_runner.warden.cgroups import Bounds
from services.agent_runner.warden.host_linux import LinuxHost
from services.agent_runner.warden.this_host import open_cells

MODES = {"kernel": "auto", "supervised": "off"}
_BOUNDS = Bounds(memory_bytes=1 << 30, processes_max=512)
_RUN = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Runner and warden together, before and after the tasks."""

    rss_growth_percent: float
    descriptors: int
    zombies: int


def sampling_milliseconds(children: int, passes: int) -> Mapping[str, float]:
    """Median of one pass over so many running children, one tree each: by /proc, and by the counters of their cells
    (none where no cgroup may be written)."""
    host = LinuxHost()
    host.mark(_RUN)
    cells = open_cells(_RUN, cpu_share=1.0)
    tags, pids, held = [], [], []
    try:
        for index in range(children):
            cell = cells.cell(index)
            tags.append(host.tag_next())
            if cell:
                held.append(cell)
                cell.enter(_BOUNDS)
            pid = None
            try:
                pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
            finally:
                if cell:
                    cell.leave(pid)
            pids.append(pid)
        took = {"supervised": _median_ms(lambda: host.use(frozenset(tags)), passes)}
        if held:
            took["kernel"] = _median_ms(
                lambda: [(cell.hits(), cell.memory_peak_bytes(), cell.cpu_seconds()) for cell in held], passes
            )
        return took
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        cells.close()


def _median_ms(look: object, passes: int) -> float:
    assert callable(look)
    times = []
    for _ in range(passes):
        begun = time.perf_counter()
        look()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


def throughput_and_leak(
    rounds: int, tasks: int, leak_tasks: int
) -> tuple[Mapping[str, list[float]], Mapping[str, Leak]]:
    """Rates in tasks/s of both modes and of xargs, round by round beside each other, then what each mode leaks."""
    with plain_script(PLAIN) as script, _both() as systems:
        for system in systems.values():
            run_all(system, tasks)  # warm: imports, statement caches, slots and their cells
        rates: dict[str, list[float]] = {name: [] for name in (*systems, "xargs")}
        for _ in range(rounds):
            for name, system in systems.items():
                rates[name].append(_rate(lambda system=system: run_all(system, tasks), tasks))
            rates["xargs"].append(
                _rate(lambda: shell(f"seq {tasks} | xargs -P{AT_ONCE} -n1 {script} > /dev/null"), tasks)
            )
        return rates, {name: _leak(system, leak_tasks) for name, system in systems.items()}


@contextmanager
def _both() -> Iterator[Mapping[str, System]]:
    """Two systems side by side; the one that is not asked for anything costs nearly nothing."""
    at_once = str(AT_ONCE)
    with (
        running({"noop.sh": SCRIPT}, max_concurrent_agents=at_once, kernel_limits="auto") as kernel,
        running({"noop.sh": SCRIPT}, max_concurrent_agents=at_once, kernel_limits="off") as supervised,
    ):
        yield {"kernel": kernel, "supervised": supervised}


def _rate(contest: object, tasks: int) -> float:
    assert callable(contest)
    begun = time.perf_counter()
    contest()
    return tasks / (time.perf_counter() - begun)


def _leak(system: System, tasks: int) -> Leak:
    group = next(each for name, each in system.processes().items() if name.startswith("runner"))
    run_all(system, tasks)  # every slot that is ever needed at the same time has been made once
    before, open_before = _rss(group), _descriptors(group)
    run_all(system, tasks)
    time.sleep(1.0)  # what is read behind is let go of in the second after
    after, open_after = _rss(group), _descriptors(group)
    zombies = sum(
        child.status() == psutil.STATUS_ZOMBIE for process in group for child in process.children(recursive=True)
    )
    return Leak(rss_growth_percent=100 * (after / before - 1), descriptors=open_after - open_before, zombies=zombies)


def _rss(group: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in group)


def _descriptors(group: list[psutil.Process]) -> int:
    return sum(process.num_fds() for process in group)
