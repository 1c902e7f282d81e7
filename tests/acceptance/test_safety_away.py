"""Without safety nothing new starts; what only adds, reads or ends goes on, and all goes on when it is back."""

from __future__ import annotations

from pathlib import Path

from clients.coordinator_values import TaskSpec, TaskState
from tests.acceptance.deployment import Deployment, deployed, ended, tasks_of
from tests.waiting import CLOCK, eventually

WATCHED_SECONDS = 2.5


async def test_nothing_starts_and_everything_else_works(tmp_path: Path) -> None:
    async with deployed(tmp_path, max_concurrent_agents=4) as system:
        system.agent("held", system.runs.gate())
        await system.up("safety", "coordinator", "runner-local")
        async with system.coordinator() as client:
            await client.reload_agents()
            running = (await client.submit([TaskSpec(agent="held")] * 2)).tasks
            await eventually(lambda: len(system.runs.alive()) == 2, "two run")

            system.kill("safety")
            late = (await client.submit([TaskSpec(agent="held")] * 5)).tasks
            why = await eventually(lambda: _why(system, late[0].id), "the queue says that safety is away")
            cancelled_queued = await client.cancel([late[4].id], reason="not needed")
            cancelled_running = await client.cancel([running[0].id], reason="not needed")
            await eventually(lambda: len(system.runs.alive()) == 1, "the cancelled task's process is gone")
            await eventually(lambda: _state(system, running[0].id, TaskState.CANCELLED), "and it is cancelled")
            begun = await system.begun_within(WATCHED_SECONDS)
            seen = await tasks_of(client)

            system.start("safety")
            back_at = CLOCK.boottime()
            await eventually(lambda: len(system.runs.alive()) == 4, "those that waited run")
            on_after = CLOCK.boottime() - back_at
            with system.runs.open_gate():
                counts = await ended(client, 7)

    print(f"without safety: {begun - 2} started, “{why}”; with it again, all on after {on_after:.2f} s; {counts}")
    assert begun == 2
    assert (cancelled_queued.cancelled, cancelled_running.cancelled) == (1, 1)
    assert len(seen) == 7 and seen[running[1].id].state is TaskState.RUNNING
    assert counts == {TaskState.SUCCEEDED: 5, TaskState.CANCELLED: 2}


async def _why(system: Deployment, task_id: str) -> str | None:
    async with system.coordinator() as client:
        why = await client.explain(task_id)
    return why.sentence if why.code == "safety_unreachable" else None


async def _state(system: Deployment, task_id: str, state: TaskState) -> bool:
    async with system.coordinator() as client:
        return (await client.get_task(task_id)).state is state
