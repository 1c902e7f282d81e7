"""What a system at rest costs: per cent of a core and resident memory, per service."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from benchmarks.system import SCRIPT, System, running

SETTLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """`cpu_percent` of one core; `rss_mb` of the service itself and `helpers_rss_mb` of its child processes, in MB."""

    cpu_percent: float
    rss_mb: float
    helpers_rss_mb: float


def measure(seconds: float) -> Mapping[str, Rest]:
    """Start a system, let it settle, look at it for a while."""
    with running({"noop.sh": SCRIPT}) as system:
        time.sleep(SETTLE_SECONDS)
        return _watch(system, seconds)


def _watch(system: System, seconds: float) -> Mapping[str, Rest]:
    processes = system.processes()
    before = {name: sum(map(_cpu, group)) for name, group in processes.items()}
    time.sleep(seconds)
    return {
        name: Rest(
            cpu_percent=100 * (sum(map(_cpu, group)) - before[name]) / seconds,
            rss_mb=_rss(group[0]),
            helpers_rss_mb=sum(map(_rss, group[1:])),
        )
        for name, group in processes.items()
    }


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _rss(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6
