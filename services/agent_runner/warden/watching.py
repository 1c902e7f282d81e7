"""One pass over all running trees, looking for limits that are broken: the kernel's counters where it keeps them, else
one look at the machine's processes for all trees together."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from services.agent_runner.warden import limits
from services.agent_runner.warden.attempt import Attempt, Breach
from services.agent_runner.warden.cgroups import Cell
from services.agent_runner.warden.host import Host
from services.agent_runner.warden.limits import SAMPLE_SECONDS

# A pass that is only a little early serves as well as the one that is due.
_EARLY_SECONDS = 0.05


class Watch:
    """Looks at most once in `SAMPLE_SECONDS` at whatever is dear to look at; short tasks never cost a pass."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._looked_at = 0.0

    def look(self, attempts: Collection[Attempt], now: float) -> list[tuple[Attempt, Breach]]:
        """Every attempt that is over one of its limits, with the first one that was found."""
        found = [
            (attempt, breach) for attempt in attempts if attempt.cell and (breach := limits.hit(attempt, attempt.cell))
        ]
        if now - self._looked_at < SAMPLE_SECONDS - _EARLY_SECONDS:
            return found
        if not any(now - attempt.started_at >= SAMPLE_SECONDS - _EARLY_SECONDS for attempt in attempts):
            return found
        self._looked_at = now
        for attempt in attempts:
            if breach := _in_cell(attempt, attempt.cell) if attempt.cell else None:
                found.append((attempt, breach))
            if breach := _work(attempt):
                found.append((attempt, breach))
        found += self._sample({attempt.tag: attempt for attempt in attempts if _is_sampled(attempt)})
        return found

    def _sample(self, attempts: dict[int, Attempt]) -> Iterator[tuple[Attempt, Breach]]:
        """Resident memory counts shared pages once per process, so it only raises the question; the proportional sum
        answers."""
        if not attempts:
            return
        for tag, use in self._host.use(attempts).items():
            attempt = attempts[tag]
            attempt.peak_bytes = max(attempt.peak_bytes, use.resident_bytes)
            breach = limits.too_many(attempt, use) or limits.too_busy(
                attempt, attempt.reaped_cpu_seconds + use.cpu_seconds
            )
            if limits.too_large(attempt, use.resident_bytes):
                breach = limits.too_large(attempt, self._host.proportional_bytes(tag)) or breach
            if breach:
                yield attempt, breach


def _is_sampled(attempt: Attempt) -> bool:
    terms = attempt.terms
    return attempt.cell is None and bool(terms.memory_bytes or terms.processes_max or terms.cpu_seconds)


def _in_cell(attempt: Attempt, cell: Cell) -> Breach | None:
    attempt.peak_bytes = max(attempt.peak_bytes, cell.memory_peak_bytes())
    return limits.too_busy(attempt, cell.cpu_seconds()) if attempt.terms.cpu_seconds else None


def _work(attempt: Attempt) -> Breach | None:
    work = attempt.watched_work()
    if work is None:
        return None
    work.look()
    return limits.work_breach(attempt, work)
