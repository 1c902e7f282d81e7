"""A million queued tasks, half of them of another agent and higher priority, cost dispatch nothing."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.coordinator.adapters.sqlite import SqliteStore
from services.coordinator.domain.task import Task, TaskState, lease
from services.coordinator.ports import StoreTransaction
from tests.coordinator.stores import KEY, put
from tests.coordinator.tasks import NOW, S

TASKS = int(os.environ.get("QUANTUM_TEST_SCALE", "1000000"))
BATCH = 10_000
ROUNDS = 200


def _batches(number: int, *, prefix: str = "0") -> Iterator[list[Task]]:
    for low in range(0, number, BATCH):
        yield [_queued(prefix, n) for n in range(low, min(low + BATCH, number))]


def _queued(prefix: str, number: int) -> Task:
    held_by_a_breaker = number % 2 == 0
    at = NOW + timedelta(milliseconds=number)
    return Task(
        id=f"{prefix}{number:025d}",
        agent="refused" if held_by_a_breaker else "build",
        priority=9 if held_by_a_breaker else 5,
        state=TaskState.QUEUED,
        created_at=at,
        ready_at=at,
        fence=1 << 50,
        params='{"configuration": "release"}',
    )


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


async def _claims(store: SqliteStore) -> tuple[float, float]:
    """p99 in seconds of finding the ready tasks of an agent, and of leasing 20 of them durably."""
    finding, leasing = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        entries = await store.read(lambda tx: tx.ready("build", after=None, limit=20))
        found = time.perf_counter()
        ids = [entry.id for entry in entries]
        await store.write(_leasing(ids))
        finding.append(found - began)
        leasing.append(time.perf_counter() - found)
    return _p99(finding), _p99(leasing)


def _leasing(ids: list[str]) -> Callable[[StoreTransaction], None]:
    def work(tx: StoreTransaction) -> None:
        tasks = tx.tasks(ids)
        tx.save([(tasks[id_], lease(tasks[id_], "r1")) for id_ in ids])

    return work


async def filled(path: Path, number: int) -> SqliteStore:
    """A store with queued tasks, every other one of an agent that is refused."""
    store = SqliteStore.open(path, key=KEY)
    for batch in _batches(number):
        await put(store, *batch)
    return store


@pytest.mark.long
@pytest.mark.timeout(1_200)
async def test_a_million_queued_tasks_cost_dispatch_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    small = await filled(tmp_path / "small.db", 2 * 20 * ROUNDS)
    quick_find, quick_lease = await _claims(small)
    await small.close()

    store = await filled(tmp_path / "large.db", TASKS)
    await store.close()
    began = time.perf_counter()
    store = SqliteStore.open(tmp_path / "large.db", key=KEY)
    counts = await store.read(lambda tx: tx.counts())
    await store.read(lambda tx: tx.ready("build", after=None, limit=512))
    opened = time.perf_counter() - began
    assert counts == {("build", S.QUEUED): TASKS // 2, ("refused", S.QUEUED): TASKS // 2}

    find, leased = await _claims(store)
    counting = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await store.read(lambda tx: tx.counts())
        counting.append(time.perf_counter() - began)
    figures = {
        "open and first ready ms": opened * 1e3,
        "counts p99 ms": _p99(counting) * 1e3,
        "ready p99 ms": find * 1e3,
        "ready p99 ms, short queue": quick_find * 1e3,
        "lease of 20 p99 ms": leased * 1e3,
        "lease of 20 p99 ms, short queue": quick_lease * 1e3,
    }
    for name, figure in figures.items():
        record_property(name, figure)
        print(f"{name}: {figure:.2f}")
    await store.close()
    assert opened < 2
    assert _p99(counting) < 0.02
    # The floors keep a hiccup of a shared disk from deciding; the bound itself is the promise.
    assert find <= 2 * max(quick_find, 0.003)
    assert leased <= 2 * max(quick_lease, 0.015)
