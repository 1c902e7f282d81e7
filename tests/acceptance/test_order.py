"""Everything that goes in comes out, and in order."""

from __future__ import annotations

from pathlib import Path

from clients.coordinator_values import TaskSpec, TaskState, TaskView
from tests.acceptance.deployment import deployed, ended, tasks_of


async def test_three_hundred_tasks_all_succeed_in_order(tmp_path: Path) -> None:
    async with deployed(tmp_path, max_concurrent_agents=1) as system:
        system.agent("quick", ":")
        await system.up("safety", "coordinator", "runner-local")
        async with system.coordinator() as client:
            await client.reload_agents()
            await client.pause_queue(reason="all are to be there before the first starts")
            submitted: list[TaskView] = []
            for number in range(300):
                spec = TaskSpec(agent="quick", priority=(2, 5, 9)[number % 3], params={"number": number})
                submitted += (await client.submit([spec])).tasks
            await client.resume_queue()
            counts = await ended(client, 300, within=200)
            tasks = await tasks_of(client)

    wanted = [task.id for task in sorted(submitted, key=lambda task: -task.priority)]
    began = [run.task_id for run in system.runs.all()]
    print(f"{len(tasks)} tasks: {counts}; {sum(a == b for a, b in zip(wanted, began, strict=True))} in their place")
    assert counts == {TaskState.SUCCEEDED: 300}
    assert began == wanted
    assert [task.started_at for task in sorted(tasks.values(), key=lambda task: wanted.index(task.id))] == sorted(
        task.started_at for task in tasks.values() if task.started_at
    )
