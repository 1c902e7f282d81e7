"""The ready board against the plain truth: a sorted list of everything that is ready."""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from services.coordinator.domain import ready
from services.coordinator.domain.ready import ReadyBoard, ReadyEntry

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW, LOW_WATER = 12, 4


class BoardAgainstTruth(RuleBasedStateMachine):
    """The store is a sorted list; the board sees it through windows that are far too small."""

    taken = Bundle("taken")

    def __init__(self) -> None:
        super().__init__()
        self.real = (ready.WINDOW, ready.LOW_WATER)
        ready.WINDOW, ready.LOW_WATER = WINDOW, LOW_WATER
        self.board = ReadyBoard()
        self.board.add_empty("a")
        self.store: dict[str, ReadyEntry] = {}
        self.out: dict[str, ReadyEntry] = {}
        self.number = 0
        self.out_max = 0

    def teardown(self) -> None:
        ready.WINDOW, ready.LOW_WATER = self.real

    def make(self, rank: int, second: int) -> ReadyEntry:
        self.number += 1
        return ReadyEntry(rank, EPOCH + timedelta(seconds=second), f"t{self.number:05}")

    @rule(rank=st.integers(0, 9), second=st.integers(0, 50), number=st.integers(1, 2 * WINDOW))
    def become_ready(self, rank: int, second: int, number: int) -> None:
        for _ in range(number):
            entry = self.make(rank, second)
            self.store[entry.id] = entry
            self.board.lane("a").offer(entry)

    @rule()
    def begin_refill(self) -> None:
        lane = self.board.lane("a")
        if lane.hungry:
            after, self.limit = lane.begin_refill()
            snapshot = sorted(self.store.values())
            self.found = [entry for entry in snapshot if after is None or entry > after][: self.limit]

    @rule()
    def end_refill(self) -> None:
        lane = self.board.lane("a")
        if lane.refilling:
            found = [entry for entry in self.found if entry.id in self.store]
            lane.end_refill(found, complete=len(self.found) < self.limit)

    @rule(target=taken, room=st.integers(1, 40))
    def take(self, room: int) -> list[ReadyEntry]:
        self.begin_refill()
        self.end_refill()
        ready_now = sorted(entry for entry in self.store.values() if entry.id not in self.out)
        got = [entry for _, entry in self.board.take(room, lambda _: True)]
        assert got == ready_now[: len(got)], "taken out of order"
        assert got or not ready_now, "something is ready and nothing was taken"
        self.out.update((entry.id, entry) for entry in got)
        self.out_max = max(self.out_max, len(self.out))
        return got

    @rule(entries=consumes(taken), refused=st.booleans())
    def decide(self, entries: list[ReadyEntry], refused: bool) -> None:
        lane = self.board.lane("a")
        for entry in entries:
            if self.out.pop(entry.id, None) is None:
                continue
            if refused:
                lane.put_back(entry)
            else:
                del self.store[entry.id]
                lane.settle(entry.id)

    @rule(share=st.floats(0, 1))
    def cancel(self, share: float) -> None:
        waiting = [id for id in self.store if id not in self.out]
        if waiting:
            id = waiting[int(share * (len(waiting) - 1))]
            del self.store[id]
            self.board.lane("a").drop(id)

    @invariant()
    def bounded(self) -> None:
        lane = self.board.lane("a")
        assert len(lane.entries) <= WINDOW + LOW_WATER + self.out_max
        assert lane.entries == sorted(lane.entries)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        lane = self.board.lane("a")
        known = {entry.id for entry in lane.entries} | set(self.out)
        missing = [entry for id, entry in self.store.items() if id not in known]
        if lane.refilling:
            return  # what became ready meanwhile waits beside the lane
        if lane.complete:
            assert not missing, "the lane says that it is complete"
        elif missing and lane.entries:
            best = min(missing)
            assert best > lane.entries[-1], "an entry is missing within the window"


BoardAgainstTruth.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestBoard = BoardAgainstTruth.TestCase
