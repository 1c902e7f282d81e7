"""The ready board: a bounded window on each queue, so that dispatch costs by agents and labels, never by tasks."""

import json
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from services.coordinator.domain.task import NO_LABELS, Task

WINDOW = 512
LOW_WATER = 64


class ReadyEntry(NamedTuple):
    """A task that is queued and not leased, as dispatch sees it; sorts in the order of dispatch.

    `rank` is 9 - priority. A tuple, because one is made for every task that becomes ready.
    """

    rank: int
    ready_at: datetime
    id: str


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as one text, the same whatever their order; "" for none. The store keeps them so, too."""
    return json.dumps(dict(labels), sort_keys=True, ensure_ascii=False, separators=(",", ":")) if labels else ""


def lane_name(agent: str, labels: str) -> str:
    """The name of a lane: the agent's own, and behind a space the labels that its tasks ask for, if any."""
    return f"{agent} {labels}" if labels else agent


def lane_of(task: Task) -> str:
    """In which lane a task waits. Those that ask for other labels have another one: none stands in another's way."""
    return task.agent if not task.labels else lane_name(task.agent, labels_text(task.labels))


def agent_of_lane(lane: str) -> str:
    """The agent of a lane."""
    return lane.partition(" ")[0]


def labels_of_lane(lane: str) -> Mapping[str, str]:
    """What the tasks of a lane ask for beyond their agent's manifest."""
    text = lane.partition(" ")[2]
    return json.loads(text) if text else NO_LABELS


def entry_of(task: Task) -> ReadyEntry:
    """A task's place on the ready board."""
    return ReadyEntry(9 - task.priority, task.ready_at, task.id)


class Lane:
    """The best entries of one queue (an agent's tasks that ask for the same labels), in the order of dispatch.

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
    def out(self) -> bool:
        """Some of it was taken, or is being read, and must find its place again."""
        return bool(self._taken) or self.refilling

    @property
    def idle(self) -> bool:
        """Nothing waits here, nothing was taken, and the store has no more."""
        return self.complete and not self.entries and not self.out

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
    """All lanes by name."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}

    def lane(self, name: str) -> Lane:
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane()
        return lane

    def add_empty(self, name: str) -> None:
        """A lane of which the store is known to hold nothing: what is offered later is all there is."""
        if name not in self.lanes:
            self.lane(name).complete = True

    def leave(self, goes: Callable[[str], bool]) -> None:
        """Lanes that nothing can be taken of any more; the store has what they had. One whose entries are out stays."""
        for name in [name for name, lane in self.lanes.items() if not lane.out and goes(name)]:
            del self.lanes[name]

    def forget_idle(self) -> None:
        """Lanes of labels that have nothing: there may be any number of them in time, where agents are few."""
        for name in [name for name, lane in self.lanes.items() if " " in name and lane.idle]:
            del self.lanes[name]

    @property
    def occupied(self) -> bool:
        """Whether anything that is known waits for a decision."""
        return any(lane.entries for lane in self.lanes.values())

    def hungry(self) -> Iterable[tuple[str, Lane]]:
        return [(name, lane) for name, lane in self.lanes.items() if lane.hungry]

    def take(self, most: int, may_take: Callable[[str], bool]) -> list[tuple[str, ReadyEntry]]:
        """Take up to `most` entries in the order of dispatch over all lanes, each with the name of its lane.

        `may_take(lane)` says whether one more of a lane may be taken, and counts it; no passes the lane over.
        """
        heads = [(lane.entries[0], name) for name, lane in self.lanes.items() if lane.entries]
        heapify(heads)
        taken: list[tuple[str, ReadyEntry]] = []
        while heads and len(taken) < most:
            _, name = heads[0]
            if not may_take(name):
                heappop(heads)
                continue
            lane = self.lanes[name]
            taken.append((name, lane.take()))
            if lane.entries:
                heapreplace(heads, (lane.entries[0], name))
            else:
                heappop(heads)
        return taken
