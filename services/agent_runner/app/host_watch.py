"""Looks at the machine and has the runner hold new starts, or go on."""

from __future__ import annotations

from clients.attachment_values import HostState
from foundation.clock import Clock
from foundation.disk import Disk, DiskRoom
from services.agent_runner.app.runner import Runner
from services.agent_runner.domain.host_guard import HostGuard, HostLimits, HostReading
from services.agent_runner.ports import HostGauges

_CPU_NOTICED = 0.1
_MEMORY_NOTICED_PART = 0.02


class HostWatch:
    """The guard of one runner's machine; without limits it only tells how the machine fares, and watches its disk."""

    def __init__(
        self,
        gauges: HostGauges,
        limits: HostLimits | None,
        runner: Runner,
        clock: Clock,
        *,
        disk: Disk,
        disk_free_bytes_min: int,
    ) -> None:
        self._gauges = gauges
        self._guard = HostGuard(limits) if limits else None
        self._disk = disk
        self._room = DiskRoom(disk_free_bytes_min)
        self._runner = runner
        self._clock = clock
        self._told: tuple[bool, ...] = ()  # what held at the last state that was told

    def look(self) -> None:
        """Take one reading and act on it."""
        reading = self._gauges.read(self._clock.boottime(), self._runner.trees())
        if self._guard is not None:
            self._guard = self._guard.observe(reading)
        self._room = self._room.observe(self._disk.free_bytes())
        reason = self._guard.held_reason if self._guard else ""
        if self._room.short:
            reason = f"{reason}; {self._room.sentence}" if reason else f"new starts wait: {self._room.sentence}"
        state = HostState(reason, reading.memory_available_bytes, reading.busy, self._room.sentence)
        guard = self._guard
        holds = (self._room.short, *((guard.cpu.held, guard.memory.held) if guard else ()))
        # Another reason is news, too: what is told of the first one is not true any more.
        if holds != self._told or _noticeably(self._runner.host, state, reading):
            self._told = holds
            self._runner.fares(state)


def _noticeably(before: HostState, now: HostState, reading: HostReading) -> bool:
    memory = abs(now.memory_available_bytes - before.memory_available_bytes)
    return abs(now.cpu_share - before.cpu_share) >= _CPU_NOTICED or memory > (
        _MEMORY_NOTICED_PART * max(reading.memory_total_bytes, 0)
    )
