"""The stores that the conformance suite runs on."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from services.coordinator.adapters.memory import MemoryStore
from services.coordinator.adapters.sqlite import SqliteStore
from services.coordinator.domain.task import Task
from services.coordinator.ports import Store

KEY = bytes(range(32))


async def _memory(_folder: Path) -> Store:
    return MemoryStore()


async def _sqlite(folder: Path) -> Store:
    return SqliteStore.open(folder / "coordinator.db", key=KEY)


STORES: dict[str, Callable[[Path], Awaitable[Store]]] = {"memory": _memory, "sqlite": _sqlite}


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Store]:
    """An empty store; at the end it must be sound."""
    store = await STORES[kind](folder)
    try:
        yield store
        assert list(await store.check()) == []
    finally:
        await store.close()


async def put(store: Store, *tasks: Task) -> None:
    """Insert in one transaction."""
    await store.write(lambda tx: tx.insert(tasks))


async def move(store: Store, before: Task, now: Task) -> None:
    """Save one move."""
    await store.write(lambda tx: tx.save([(before, now)]))


async def get(store: Store, id_: str) -> Task:
    """A task that must be there."""
    found = await store.read(lambda tx: tx.task(id_))
    assert found is not None
    return found
