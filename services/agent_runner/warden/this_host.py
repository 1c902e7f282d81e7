"""Picks the implementations of `Host` and `Cells` for the system that we are on."""

from __future__ import annotations

import sys

from services.agent_runner.warden.cgroups import Cells, NoCells
from services.agent_runner.warden.host import Host


def this_host() -> Host:
    """A new one; it keeps the tags of one run."""
    if sys.platform == "darwin":
        from services.agent_runner.warden.host_darwin import DarwinHost

        return DarwinHost()
    from services.agent_runner.warden.host_linux import LinuxHost

    return LinuxHost()


def open_cells(run: str, *, cpu_share: float) -> Cells:
    """The cells of a run, as good as this system has them; together they get this share of the machine."""
    if sys.platform == "darwin":
        return NoCells()
    from services.agent_runner.warden import cgroups_linux

    return cgroups_linux.open_cells(run, cpu_share=cpu_share)
