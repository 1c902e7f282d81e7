"""A claim, and the first dispatch after a start, with a million queued tasks of which half are refused."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.system import SCRIPT, quantum, started, workspace_folder
from clients.coordinator_values import TaskFilter, TaskState
from foundation.clock import SystemClock
from foundation.ids import random_bytes
from foundation.rpc.run import spare_the_loaded
from foundation.secrets import DATABASE_KEY, open_secret_store, user_account
from foundation.workspace import Workspace
from services.coordinator.adapters.sqlite import SqliteStore
from services.coordinator.domain import task as domain
from services.coordinator.ports import Store, StoreTransaction
from services.coordinator.ports_safety import Verdict

# The harness of the coordinator's own tests: its heart on a store of our choice, safety played in this process.
from tests.coordinator.fleet import Fleet, ended, sent
from tests.coordinator.fleet import started as spawned

PAGE = 10_000
REFUSED = Verdict(admitted=False, scope="agent:a", code="breaker", reason="Its breaker is open.", ask_again_at=None)


def claims(tasks: int, samples: int) -> Mapping[str, Sequence[float]]:
    """Milliseconds of a claim with an `empty` and with a `full` queue, interleaved sample by sample.

    A claim is one round of dispatch on the encrypted store: take, admission, durable lease, grant. Half of the full
    queue is of higher priority and of an agent that is refused.
    """
    return asyncio.run(_claims(tasks, samples))


async def _claims(tasks: int, samples: int) -> Mapping[str, Sequence[float]]:
    with tempfile.TemporaryDirectory(prefix="qb-") as folder:
        queues = {}
        for name, backlog in (("empty", 0), ("full", tasks)):
            store = SqliteStore.open(Path(folder, f"{name}.db"), key=random_bytes(32))
            await fill(store, backlog, refused="a", runnable="b")
            fleet = Fleet(Path(folder), store=store)
            fleet.gate.verdicts["a"] = REFUSED
            await fleet.dispatch.start()
            queues[name] = (fleet, await fleet.runner(capacity=1))
        spare_the_loaded()  # as the service itself does
        took: dict[str, list[float]] = {name: [] for name in queues}
        running: dict[str, Any] = {}
        for sample in range(-20, samples):
            for name, (fleet, runner) in queues.items():
                if name == "empty":
                    # Before there is room for it: with room it would be leased by its own insert, and nothing claimed.
                    await fleet.submit("b")
                if name in running:
                    task = running[name]
                    await fleet.tell(runner, spawned(task, fleet.now()), ended(task, fleet.now()))
                    sent(runner)
                begun = time.perf_counter()
                await fleet.round()
                seconds = time.perf_counter() - begun
                [grant] = sent(runner)
                running[name] = getattr(grant, "task")  # noqa: B009  (the one message that has one)
                if sample >= 0:
                    took[name].append(seconds * 1000)
        for fleet, _ in queues.values():
            await fleet.store.close()
        return took


def first_dispatch(tasks: int) -> float:
    """Seconds from `quantum up` until the first task of the backlog has started, in a real system."""
    agents = {"held.sh": SCRIPT, "noop.sh": SCRIPT}
    with workspace_folder(agents) as (_, environ):
        with started(environ) as system:
            quantum(environ, "breaker", "force-open", "agent:held", "--reason", "benchmark")
            workspace = system.workspace
        secret = open_secret_store(workspace, environ).get(DATABASE_KEY, user_account(workspace))
        assert secret is not None
        asyncio.run(_prefill(workspace, bytes.fromhex(secret), tasks))
        begun = SystemClock().now()
        with started(environ) as system:
            deadline = time.monotonic() + 120
            wanted = TaskFilter(agent="noop", states=frozenset({TaskState.SUCCEEDED}))
            while not (page := system.call(system.coordinator.list_tasks(wanted, limit=1000))).tasks:
                assert time.monotonic() < deadline, "nothing started within two minutes"
                time.sleep(0.05)
            first = min(task.started_at for task in page.tasks if task.started_at is not None)
        return (first - begun).total_seconds()


async def _prefill(workspace: Workspace, key: bytes, tasks: int) -> None:
    store = SqliteStore.open(workspace.coordinator_db, key=key)
    await fill(store, tasks, refused="held", runnable="noop")
    await store.close()


async def fill(store: Store, tasks: int, *, refused: str, runnable: str) -> None:
    """Put queued tasks into a store: half of an agent with priority 9, half of another with priority 1."""
    now = SystemClock().now() - timedelta(seconds=tasks)
    for page in range(0, tasks, PAGE):
        batch = [
            domain.Task(
                id=f"b{number:024}",
                agent=refused if number % 2 else runnable,
                state=domain.TaskState.QUEUED,
                created_at=now + timedelta(seconds=number),
                ready_at=now + timedelta(seconds=number),
                fence=domain.first_fence(now),
                priority=9 if number % 2 else 1,
                effects=domain.Effects.IDEMPOTENT,
            )
            for number in range(page, min(page + PAGE, tasks))
        ]

        def insert(tx: StoreTransaction, batch: Sequence[domain.Task] = batch) -> None:
            tx.insert(batch)

        await store.write(insert)
