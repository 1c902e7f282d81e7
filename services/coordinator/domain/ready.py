"""The ready board: a bounded window on each agent's queue, so that dispatch costs by agents and never by tasks."""

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from services.coordinator.domain.task import Task

WINDOW = 512
LOW_WATER = 64


class ReadyEntry(NamedTuple):
    """A task that is queued and not leased, as dispatch sees it; sorts in the order of dispatch.

    `rank` is 9 - priority. A tuple, because one is made for every task that becomes ready.
    """

    rank: int
    ready_at: datetime
    id: str


def entry_of(task: Task) -> ReadyEntry:
    """A task's place on the ready board."""
    return ReadyEntry(9 - task.priority, task.ready_at, task.id)


class Lane:
    """The best entries of one agent's queue, in the order of dispatch.

    The lane holds at most WINDOW entries. `complete` says that the store holds none beyond them; otherwise whatever
    sorts behind the last entry is left to the store until the lane runs low and is refilled. An entry that was taken
    and not yet settled is remembered, because a refill may read it once more.
    """

    def __init__(self) -> None:
        self.entries: list[ReadyEntry] = []
        self.complete = False
        self.refilling = False
        self._known: set[str] = set()
        self._taken: set[str] = set()
        self._late: list[ReadyEntry] = []

    @property
    def hungry(self) -> bool:
        return not self.complete and not self.refilling and len(self.entries) < LOW_WATER

    def offer(self, entry: ReadyEntry) -> None:
        """A task has become ready."""
        if self.refilling:
            self._late.append(entry)
            return
        if entry.id in self._known or entry.id in self._taken:
            return
        if not self.complete and (not self.entries or entry > self.entries[-1]):
            return
        insort(self.entries, entry)
        self._known.add(entry.id)
        if len(self.entries) > WINDOW:
            self._known.discard(self.entries.pop().id)
            self.complete = False

    def take(self) -> ReadyEntry:
        """Remove and return the head; it stays taken until `settle` or `put_back`."""
        entry = self.entries.pop(0)
        self._known.discard(entry.id)
        self._taken.add(entry.id)
        return entry

    def take_ahead(self, task_id: str) -> None:
        """Take an entry before it is offered; it stays taken until `settle` or `put_back`."""
        self._taken.add(task_id)

    def settle(self, task_id: str) -> None:
        """The store knows what became of a taken entry."""
        self._taken.discard(task_id)

    def put_back(self, entry: ReadyEntry) -> None:
        """A taken entry was refused and keeps its place: in the window, or beyond it in the store."""
        self._taken.discard(entry.id)
        self.offer(entry)

    def drop(self, task_id: str) -> None:
        """The task is no longer ready (cancelled, cleared)."""
        if task_id in self._known:
            self._known.discard(task_id)
            self.entries = [entry for entry in self.entries if entry.id != task_id]
        self._late = [entry for entry in self._late if entry.id != task_id]

    def begin_refill(self) -> tuple[ReadyEntry | None, int]:
        """Return the entry after which the store is to be read, and how many: it still has those that are taken."""
        self.refilling = True
        return (self.entries[-1] if self.entries else None), WINDOW + len(self._taken)

    def end_refill(self, entries: Sequence[ReadyEntry], *, complete: bool) -> None:
        """Take what the store had, then whatever became ready while it was read."""
        for entry in entries:
            if entry.id not in self._known and entry.id not in self._taken:
                insort(self.entries, entry)
                self._known.add(entry.id)
        self.complete, self.refilling = complete, False
        late, self._late = self._late, []
        for entry in late:
            self.offer(entry)


class ReadyBoard:
    """All lanes by agent."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}

    def lane(self, agent: str) -> Lane:
        lane = self.lanes.get(agent)
        if lane is None:
            lane = self.lanes[agent] = Lane()
        return lane

    def add_empty(self, agent: str) -> None:
        """An agent of which the store is known to hold nothing: what is offered later is all there is."""
        if agent not in self.lanes:
            self.lane(agent).complete = True

    @property
    def occupied(self) -> bool:
        """Whether anything that is known waits for a decision."""
        return any(lane.entries for lane in self.lanes.values())

    def hungry(self) -> Iterable[tuple[str, Lane]]:
        return [(agent, lane) for agent, lane in self.lanes.items() if lane.hungry]

    def take(self, room: int, may_run: Callable[[str], int]) -> list[tuple[str, ReadyEntry]]:
        """Take up to `room` entries in the order of dispatch over all agents.

        `may_run(agent)` says how many more attempts that agent may have now; 0 passes it over at no further cost.
        """
        heads = [
            (lane.entries[0], agent, allowed)
            for agent, lane in self.lanes.items()
            if lane.entries and (allowed := may_run(agent)) > 0
        ]
        heapify(heads)
        taken: list[tuple[str, ReadyEntry]] = []
        while heads and len(taken) < room:
            _, agent, allowed = heads[0]
            lane = self.lanes[agent]
            taken.append((agent, lane.take()))
            if allowed > 1 and lane.entries:
                heapreplace(heads, (lane.entries[0], agent, allowed - 1))
            else:
                heappop(heads)
        return taken
