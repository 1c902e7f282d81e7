"""Holds the queue: pause and resume, which survive restarts, and its figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from foundation.auth import Caller
from foundation.clock import Clock
from services.coordinator.app.acts import acting
from services.coordinator.app.dispatch import PAUSED_FACT
from services.coordinator.app.dispatching import Dispatching
from services.coordinator.app.tasks import by_state
from services.coordinator.app.to_the_end import undisturbed
from services.coordinator.domain.fleet import FleetView, Parked
from services.coordinator.domain.task import OPEN, TaskState
from services.coordinator.ports import ReadyEntry, Store, StoreTransaction

_NEVER = datetime.max.replace(tzinfo=UTC)
_LAST_ID = "\x7f"
LABELS_LOOKED_AT = 20
"""Queues of labels of an agent of which the oldest task counts: there may be any number of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedScope:
    """A scope that is refused for now, and how many ready tasks stand behind it."""

    parked: Parked
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """The queue's figures. Waits are from ready to start; None before anything has started."""

    counts: Mapping[TaskState, int]
    open: int
    open_max: int
    paused_reason: str
    oldest_ready_at: datetime | None
    fleet: FleetView
    parked: Sequence[ParkedScope]
    throughput_per_minute: float
    wait_p50_seconds: float | None
    wait_p99_seconds: float | None
    store_bytes: int
    disk_free_bytes: int


class Queue:
    """Pause, resume, figures."""

    def __init__(
        self,
        store: Store,
        dispatch: Dispatching,
        *,
        open_max: int,
        disk_free_bytes: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._store = store
        self._dispatch = dispatch
        self._open_max = open_max
        self._disk_free_bytes = disk_free_bytes
        self._clock = clock

    async def pause(self, reason: str, caller: Caller) -> bool:
        """Let nothing new start. Returns False when it was paused already; who paused it first is kept."""
        said = f"Paused by {caller.name} at {self._clock.now():%Y-%m-%d %H:%M:%S} UTC."
        return await self._set(f"{said} {reason}".strip())

    async def resume(self) -> bool:
        """Let it go on. Returns False when it was not paused."""
        return await self._set("")

    async def _set(self, reason: str) -> bool:
        by, now = acting(), self._clock.now()

        def change(tx: StoreTransaction) -> bool:
            if bool(tx.fact(PAUSED_FACT)) == bool(reason):
                return False
            tx.set_fact(PAUSED_FACT, reason or None)
            tx.note_act(by.act("queue_pause" if reason else "queue_resume", "queue", reason=reason, now=now))
            return True

        async def set_it() -> bool:
            changed = await self._store.write(change)
            if changed:
                self._dispatch.set_queue_paused(reason)
            return changed

        return await undisturbed(set_it())

    async def stats(self) -> QueueStats:
        """The figures now."""
        counts, oldest, size = await self._store.read(_figures)
        fleet = self._dispatch.fleet()
        states = by_state(counts)
        return QueueStats(
            counts=states,
            open=sum(states.get(state, 0) for state in OPEN),
            open_max=self._open_max,
            paused_reason=fleet.queue_paused,
            oldest_ready_at=oldest,
            fleet=fleet,
            parked=_parked(fleet, counts),
            throughput_per_minute=fleet.ended_last_five_minutes / 5,
            wait_p50_seconds=percentile(fleet.waits_seconds, 0.5),
            wait_p99_seconds=percentile(fleet.waits_seconds, 0.99),
            store_bytes=size,
            disk_free_bytes=self._disk_free_bytes(),
        )


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; None of nothing."""
    if not values:
        return None
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _figures(tx: StoreTransaction) -> tuple[Mapping[tuple[str, TaskState], int], datetime | None, int]:
    counts = tx.counts()
    agents = [agent for (agent, state), number in counts.items() if state is TaskState.QUEUED and number]
    waiting = [(agent, "") for agent in agents]
    for agent in agents:
        waiting += [(agent, labels) for labels in tx.ready_labels(agent, after="", limit=LABELS_LOOKED_AT)]
    ready = [at for agent, labels in waiting for at in _oldest_per_rank(tx, agent, labels)]
    return counts, min(ready, default=None), tx.size_bytes()


def _oldest_per_rank(tx: StoreTransaction, agent: str, labels: str) -> Sequence[datetime]:
    """The index is by priority first, so the oldest is found by one look per priority that is there."""
    found: list[datetime] = []
    after: ReadyEntry | None = None
    while heads := tx.ready(agent, after=after, limit=1, labels=labels):
        found.append(heads[0].ready_at)
        after = ReadyEntry(heads[0].rank, _NEVER, _LAST_ID)
    return found


def _parked(fleet: FleetView, counts: Mapping[tuple[str, TaskState], int]) -> list[ParkedScope]:
    queued = sum(number for (_, state), number in counts.items() if state is TaskState.QUEUED)
    whole = []
    if fleet.queue_paused:
        held = Parked(scope="queue", code="queue_paused", reason=fleet.queue_paused, until=None)
        whole.append(ParkedScope(parked=held, tasks=queued))
    if fleet.stopped is not None:
        whole.append(ParkedScope(parked=fleet.stopped, tasks=queued))
    each = [
        ParkedScope(parked=parked, tasks=counts.get((agent, TaskState.QUEUED), 0))
        for agent, parked in sorted(fleet.parked.items())
    ]
    return [*whole, *each]
