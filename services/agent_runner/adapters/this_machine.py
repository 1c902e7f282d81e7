"""Picks the gauges for the system that we are on."""

from __future__ import annotations

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
