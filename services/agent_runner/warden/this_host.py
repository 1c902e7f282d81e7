"""Picks the implementation of `Host` for the system that we are on."""

from __future__ import annotations

import sys

from services.agent_runner.warden.host import Host


def this_host() -> Host:
    """A new one; it keeps the tags of one run."""
    if sys.platform == "darwin":
        from services.agent_runner.warden.host_darwin import DarwinHost

        return DarwinHost()
    from services.agent_runner.warden.host_linux import LinuxHost

    return LinuxHost()
