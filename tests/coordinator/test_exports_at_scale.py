"""A million open tasks: the exports stay small and in time."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.coordinator.adapters.exports import ExportFile
from services.coordinator.domain.request import TaskRequest
from services.coordinator.loops import Exports
from tests.coordinator.desk import Desk
from tests.coordinator.test_store_at_scale import TASKS, filled

OPEN_MAX, ENDED_MAX = 1_000, 100
BYTES_MAX = 512 * 1024
SECONDS_MAX = 1.0


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_million_open_tasks_fit_into_a_small_export(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    store = await filled(tmp_path / "large.db", TASKS)
    desk = Desk(store, open_tasks_max=2 * TASKS)
    queue = tmp_path / "task_queue.json"
    exports = Exports(
        store,
        desk.agents,
        desk.changes,
        queue_file=ExportFile(queue, "`quantum queue clear`"),
        agents_file=ExportFile(tmp_path / "agent_status.json", "`quantum recover --all`"),
        open_max=OPEN_MAX,
        ended_max=ENDED_MAX,
        bytes_max=1 << 24,
        clock=desk.clock,
    )
    took = []
    for number in range(20):
        [task] = await desk.add(TaskRequest(agent="build"))
        if number % 2:
            await desk.run(task)
        else:
            await desk.end(task)
        began = time.perf_counter()
        await exports.step()
        took.append(time.perf_counter() - began)
    queue.write_text("[]")
    began = time.perf_counter()
    await exports.step()
    restored = time.perf_counter() - began
    figures = {
        "task_queue.json bytes": queue.stat().st_size,
        "export ms, median": sorted(took)[10] * 1e3,
        "export ms, slowest": max(took) * 1e3,
        "restored after a hand edit ms": restored * 1e3,
    }
    for name, figure in figures.items():
        record_property(name, figure)
        print(f"{name}: {figure:,.1f}")
    shown = json.loads(queue.read_text())
    await store.close()
    assert shown["counts"] | {"queued": TASKS, "running": 10, "succeeded": 10} == shown["counts"]
    assert (len(shown["open"]), len(shown["ended"])) == (OPEN_MAX, 10)
    assert shown["open"][0]["state"] == "running"
    assert queue.stat().st_size < BYTES_MAX
    assert max(*took, restored) < SECONDS_MAX
