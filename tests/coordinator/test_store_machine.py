"""The real encrypted SQLite store beside a model in memory, under anything that may happen, in any order."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from foundation.errors import Stale
from services.coordinator.adapters.memory import MemoryStore
from services.coordinator.adapters.sqlite import SqliteStore
from services.coordinator.domain.task import ENDED, Task, TaskState
from services.coordinator.ports import Store, StoreTransaction, TaskFilter
from tests.coordinator.machine import AGENTS, FleetMachine, anyone, unplaced, walk
from tests.coordinator.stores import KEY

T = TypeVar("T")


def goes_out(before: Task, after: Task) -> bool:
    """Whether a move is a lease and nothing else."""
    return after.leased and not before.leased and after.state is TaskState.QUEUED


class StoreMachine(FleetMachine):
    """Keeps every transaction in both stores; the order of dispatch comes from SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="store-"))
        self.loop = asyncio.new_event_loop()
        self.model = MemoryStore()
        self.store = self.open()

    def open(self) -> SqliteStore:
        return SqliteStore.open(self.folder / "c.db", key=KEY)

    def teardown(self) -> None:
        self.wait_for(self.store.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    def wait_for(self, work: Awaitable[T]) -> T:
        async def waiting() -> T:
            return await work

        return self.loop.run_until_complete(waiting())

    def both(self, work: Callable[[StoreTransaction], T]) -> T:
        """Ask both stores; they must answer alike."""
        found = self.wait_for(self.store.read(work))
        assert found == self.wait_for(self.model.read(work))
        return found

    def keep(self, inserted: Sequence[Task], pairs: Sequence[tuple[Task, Task]]) -> None:
        super().keep(inserted, pairs)
        if not inserted and not pairs:
            return

        def work(tx: StoreTransaction) -> None:
            tx.insert(inserted)
            tx.lease([pair for pair in pairs if goes_out(*pair)])
            tx.save([pair for pair in pairs if not goes_out(*pair)])

        def failing(tx: StoreTransaction) -> None:
            work(tx)
            raise LookupError

        async def together(store: Store) -> list[object]:
            # The same work fails before and after it in the same group commit, and undoes itself alone.
            waiting = (store.write(each) for each in (failing, work, failing))
            return await asyncio.gather(*waiting, return_exceptions=True)

        for store in (self.store, self.model):
            first, own, last = self.wait_for(together(store))
            assert own is None
            assert isinstance(first, LookupError) and not isinstance(last, type(None))

    def best(self, agent: str, number: int) -> list[Task]:
        entries = self.both(lambda tx: tx.ready(agent, after=None, limit=number))
        rest = self.both(lambda tx: tx.ready(agent, after=entries[0] if entries else None, limit=number))
        assert entries[1:] == rest[: max(len(entries) - 1, 0)] or not entries
        return [self.tasks[entry.id] for entry in entries]

    # -- what happens to a store alone

    @rule()
    def reopen(self) -> None:
        self.wait_for(self.store.close())
        self.store = self.open()

    @rule(pick=anyone, lie=st.sampled_from(["state", "fence", "ended"]))
    def write_what_is_not_so(self, pick: int, lie: str) -> None:
        """Neither store takes a move from what a task no longer is, or a move of an ended one."""
        task = self.one(self.of(*ENDED) if lie == "ended" else self.tasks.values(), pick)
        if task is None:
            return
        other = TaskState.QUEUED if task.state is not TaskState.QUEUED else TaskState.SCHEDULED
        before = {
            "state": task._replace(state=other),
            "fence": task._replace(fence=task.fence + 1),
            "ended": task,
        }[lie]
        for store in (self.store, self.model):
            with pytest.raises(Stale):
                self.wait_for(store.write(lambda tx: tx.save([(before, before._replace(reason="a lie"))])))

    @rule(pick=anyone, limit=st.integers(1, 5))
    def read_a_page(self, pick: int, limit: int) -> None:
        start = self.one(self.tasks.values(), pick)
        before = None if start is None or pick % 3 == 0 else (start.created_at, start.id)
        states = frozenset([list(TaskState)[pick % 10], list(TaskState)[pick // 10 % 10]]) if pick % 2 else frozenset()
        wanted = TaskFilter(states=states, agent=AGENTS[pick % 2] if pick % 5 else "")
        self.both(lambda tx: tx.page(wanted, before=before, limit=limit))
        self.both(lambda tx: tx.matching(wanted, after_id=before[1] if before else "", limit=limit))

    # -- what must hold

    @invariant()
    def alike(self) -> None:
        stored = self.both(lambda tx: tx.changes(after=0, limit=10_000))
        assert {task.id: unplaced(task) for task in stored} == self.tasks
        position = self.both(lambda tx: tx.position())
        assert not stored or stored[-1].change == position
        self.both(lambda tx: {pair: number for pair, number in tx.counts().items() if number})
        self.both(lambda tx: (tx.due(self.now, limit=3), tx.next_due(), tx.held(after_id="", limit=3)))
        ids = sorted(self.tasks)[:3]
        self.both(lambda tx: list(tx.blocked_on(ids)))


class ShortMachine(StoreMachine):
    """For the normal run."""


class LongMachine(StoreMachine):
    """For the long ring."""


def test_the_store_agrees_with_its_model() -> None:
    walk(ShortMachine, examples=6, steps=50)
    assert ShortMachine.steps >= 200


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_the_store_agrees_with_its_model_for_ten_thousand_steps() -> None:
    walk(LongMachine, examples=150, steps=100)
    assert LongMachine.steps >= 10_000
