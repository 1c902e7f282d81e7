"""Decides from the machine's gauges whether new starts wait, for the sake of the work that is not ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from foundation.quantities import format_size

# Over the limit by our own load alone is no reason to wait: our trees yield, and short tasks that wait for themselves
# would run at half of what they can. From this part of the limit on, others are at work too.
OTHERS_PART = 0.5
# What was over a limit is under it again below this part of it.
CALM_PART = 0.875
# A tree that stalls at its own limit is seen by the system's pressure gauge too (13 % with 98 % of the memory
# available, measured). So stalls count only where less is available than this many times the floor.
STALLS_COUNT_BELOW = 2.5
# A floor of memory is left behind by this part of it, and no reading comes nearer to the whole than half way.
_FLOOR_LEFT_BY = 0.25
_NEVER = float("-inf")


class HostReading(NamedTuple):
    """What the gauges show at a moment; -1: not known. Shares are of all processors, since the reading before."""

    at: float  # boottime, seconds
    busy: float = -1.0  # in use by anything, 0 to 1
    ours: float = -1.0  # the part of `busy` that is this runner's, its scripts' and its services'
    memory_available_bytes: int = -1
    memory_total_bytes: int = -1
    memory_stalls_percent: float = -1.0  # of the last 10 s, in which something waited for memory
    memory_warned: bool = False  # the system itself says that memory is short


_NO_READING = HostReading(_NEVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """From where on new starts wait."""

    cpu_share: float
    memory_available_share: float
    memory_stalls_percent: float
    dwell_seconds: float
    """How long the processors must be over or under their limit; no hold is shorter."""


class _Span(NamedTuple):
    since: float
    until: float
    busy: float
    others: float


@dataclass(frozen=True, slots=True)
class CpuWatch:
    """The processors, by their means over the dwelling time."""

    held: bool = False
    changed_at: float = _NEVER
    read_at: float = _NEVER
    spans: tuple[_Span, ...] = ()

    def observe(self, reading: HostReading, limits: HostLimits) -> CpuWatch:
        """The watch after one more reading."""
        if self.read_at == _NEVER or reading.at <= self.read_at:
            return replace(self, read_at=max(reading.at, self.read_at))
        busy = max(reading.busy, 0.0)
        span = _Span(self.read_at, reading.at, busy, busy - min(max(reading.ours, 0.0), busy))
        since = reading.at - limits.dwell_seconds
        spans = (*(one for one in self.spans if one.until > since), span)
        watch = replace(self, read_at=reading.at, spans=spans)
        if spans[0].since > since or self.changed_at > since or watch._over(limits) == self.held:
            return watch
        return replace(watch, held=not self.held, changed_at=reading.at)

    def _over(self, limits: HostLimits) -> bool:
        limit = limits.cpu_share * (CALM_PART if self.held else 1.0)
        return self.busy >= limit and self.others >= limit * OTHERS_PART

    @property
    def busy(self) -> float:
        """Mean share in use."""
        return self._mean([span.busy for span in self.spans])

    @property
    def others(self) -> float:
        """Mean share in use that is not ours."""
        return self._mean([span.others for span in self.spans])

    def _mean(self, values: list[float]) -> float:
        lengths = [span.until - span.since for span in self.spans]
        whole = sum(lengths)
        return sum(length * value for length, value in zip(lengths, values, strict=True)) / whole if whole else 0.0

    def sentence(self, limits: HostLimits) -> str:
        """Why new starts wait, with figures."""
        others = f", {self.others:.0%} with work that is not Quantum's" if self.busy - self.others >= 0.005 else ""
        text = f"the machine's processors are {self.busy:.0%} busy (limit {limits.cpu_share:.0%}){others}"
        return text.replace("%", " %")


@dataclass(frozen=True, slots=True)
class MemoryWatch:
    """Memory: short at the first reading that says so, for that is no blip; left after the dwelling time."""

    held: bool = False
    rough_at: float = _NEVER
    reading: HostReading = _NO_READING

    def observe(self, reading: HostReading, limits: HostLimits) -> MemoryWatch:
        """The watch after one more reading."""
        if reading.at <= self.reading.at:
            return self
        if _short(reading, limits, held=self.held):
            return MemoryWatch(True, reading.at, reading)
        held = self.held and reading.at - self.rough_at < limits.dwell_seconds
        return MemoryWatch(held, self.rough_at, reading)

    def sentence(self, limits: HostLimits) -> str:
        """Why new starts wait, with figures."""
        reading = self.reading
        room = "it is not known how much of the machine's memory is available"
        if _known(reading):
            available, total = format_size(reading.memory_available_bytes), format_size(reading.memory_total_bytes)
            floor = format_size(int(limits.memory_available_share * reading.memory_total_bytes))
            room = f"{available} of the machine's {total} of memory are available (at least {floor} are kept)"
        if reading.memory_warned:
            return f"the system says that memory is short; {room}"
        if reading.memory_stalls_percent >= limits.memory_stalls_percent:
            waited = f"{reading.memory_stalls_percent:.0f} % of the last 10 s"
            limit = f"limit {limits.memory_stalls_percent:g} %"
            return f"programs waited for memory in {waited} ({limit}); {room}"
        return room


def _known(reading: HostReading) -> bool:
    return reading.memory_available_bytes >= 0 and reading.memory_total_bytes > 0


def _short(reading: HostReading, limits: HostLimits, *, held: bool) -> bool:
    if reading.memory_warned:
        return True
    if not _known(reading):
        return False
    available = reading.memory_available_bytes / reading.memory_total_bytes
    floor, stalls = limits.memory_available_share, limits.memory_stalls_percent
    if held:
        floor += min(floor * _FLOOR_LEFT_BY, (1.0 - floor) / 2)
        stalls /= 2
    stalled = reading.memory_stalls_percent >= stalls and available < limits.memory_available_share * STALLS_COUNT_BELOW
    return available < floor or stalled


@dataclass(frozen=True, slots=True)
class HostGuard:
    """Whether new starts wait on this machine, and why."""

    limits: HostLimits
    cpu: CpuWatch = CpuWatch()
    memory: MemoryWatch = MemoryWatch()

    def observe(self, reading: HostReading) -> HostGuard:
        """The guard after one more reading."""
        return replace(
            self, cpu=self.cpu.observe(reading, self.limits), memory=self.memory.observe(reading, self.limits)
        )

    @property
    def held_reason(self) -> str:
        """A sentence with figures; empty: new starts are welcome."""
        watches: tuple[CpuWatch | MemoryWatch, ...] = (self.cpu, self.memory)
        reasons = [watch.sentence(self.limits) for watch in watches if watch.held]
        return f"new starts wait: {'; '.join(reasons)}" if reasons else ""
