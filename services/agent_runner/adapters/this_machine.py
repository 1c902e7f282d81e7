"""What is true of the machine that we are on, and the gauges for its system."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Collection

from services.agent_runner.ports import HostGauges
from services.agent_runner.warden.host import RunMark


def gauges_of(mark: RunMark, own: Callable[[], Collection[int]]) -> HostGauges:
    """`own` tells the pids of this workspace's services; the scripts are known by the mark of their warden's run."""
    if sys.platform == "darwin":
        from services.agent_runner.adapters.host_darwin import DarwinGauges

        return DarwinGauges(mark, own)
    from services.agent_runner.adapters.host_linux import LinuxGauges

    return LinuxGauges(mark, own)


def own_labels(name: str) -> dict[str, str]:
    """What is true of this machine by itself."""
    return {
        "os": platform.system().lower(),
        "machine": platform.machine(),
        "host": platform.node(),
        "runner": name,
    }


def memory_bytes() -> int:
    """Memory of this machine; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0
