"""Durable enqueue, 100 tasks a call, beside raw SQLite with the same durability and 100 rows a transaction."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import apsw

from benchmarks.system import SCRIPT, System, running
from clients.coordinator_values import TaskSpec

BATCH = 100
TOGETHER = 8


def measure(rounds: int, calls: int) -> Mapping[str, list[float]]:
    """Return rows/s of one caller who waits for each reply (`quantum`), several (`together`) and `raw`, interleaved.

    The queue is paused, so that nothing runs meanwhile.
    """
    rates: dict[str, list[float]] = {"quantum": [], "together": [], "raw": []}
    with tempfile.TemporaryDirectory(prefix="qb-") as folder, running({"noop.sh": SCRIPT}) as system:
        system.call(system.coordinator.pause_queue(reason="benchmark"))
        for number in range(rounds + 1):  # the first warms up
            alone, together = _submit(system, calls, 1), _submit(system, calls, TOGETHER)
            raw = _raw(Path(folder, f"{number}.db"), calls)
            if number:
                rates["quantum"].append(alone)
                rates["together"].append(together)
                rates["raw"].append(raw)
        system.call(system.coordinator.clear_queue())
    return rates


def _submit(system: System, calls: int, callers: int) -> float:
    specs = [TaskSpec(agent="noop")] * BATCH

    async def caller() -> None:
        for _ in range(calls // callers):
            await system.coordinator.submit(specs)

    async def all_callers() -> None:
        await asyncio.gather(*(caller() for _ in range(callers)))

    begun = time.perf_counter()
    system.call(all_callers())
    return BATCH * calls / (time.perf_counter() - begun)


def _raw(path: Path, calls: int) -> float:
    connection = apsw.Connection(str(path))
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("create table task (id text primary key, agent text, state text, priority int, created int)")
    begun = time.perf_counter()
    for call in range(calls):
        with connection:
            connection.executemany(
                "insert into task values (?, ?, ?, ?, ?)",
                ((f"{call:08}-{row:08}", "noop", "queued", 5, row) for row in range(BATCH)),
            )
    rate = BATCH * calls / (time.perf_counter() - begun)
    connection.close()
    return rate
