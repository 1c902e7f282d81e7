"""What a script prints arrives while it still runs, and a cancel ends its whole tree."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from cli.processes.identity import Process
from clients.coordinator_values import TaskSpec, TaskState
from tests.acceptance.deployment import Deployment, deployed
from tests.measured import measured
from tests.waiting import PATIENCE_SECONDS, Stopwatch, eventually

LINES = 10


async def test_ten_lines_arrive_one_by_one_while_it_runs(tmp_path: Path) -> None:
    async with deployed(tmp_path) as system:
        step = system.workspace.root / ".step"
        os.mkfifo(step)
        go_on = os.open(step, os.O_RDWR)  # both ways, so that neither side waits for the other to open it
        # Each line is printed only after the one before it has been seen here.
        body = f'for line in $(seq {LINES}); do echo "line $line"; read -r go < "$QUANTUM_WORKSPACE/.step"; done'
        system.agent("talker", body)
        await system.up("safety", "coordinator", "runner-local")
        seen: list[tuple[str, TaskState]] = []
        waits: list[float] = []
        async with system.coordinator() as client:
            await client.reload_agents()
            task = (await client.submit([TaskSpec(agent="talker")])).tasks[0]
            text, final, since_asked = "", None, Stopwatch()
            async with asyncio.timeout(2 * PATIENCE_SECONDS):
                async for chunk in client.read_log(task.id, follow=True):
                    text, final = text + chunk.data.decode(), chunk.ended
                    while len(seen) < text.count("\n"):
                        seen.append((text.splitlines()[len(seen)], (await client.get_task(task.id)).state))
                        waits.append(since_asked.seconds)
                        os.write(go_on, b"\n")
                        since_asked = Stopwatch()

        os.close(go_on)

    print(f"{len(seen)} lines, each while the task was running; the slowest after {max(waits):.2f} s")
    assert [line for line, _ in seen] == [f"line {number}" for number in range(1, LINES + 1)]
    assert {state for _, state in seen} <= {TaskState.RUNNING, TaskState.QUEUED}, "QUEUED: its start is on the way"
    assert final is not None and final.state is TaskState.SUCCEEDED


@pytest.mark.parametrize("within", measured(4.0))
async def test_a_cancel_ends_the_whole_tree(tmp_path: Path, within: float) -> None:
    async with deployed(tmp_path, stop_grace_seconds=0.5) as system:
        gate = system.runs.gate()
        system.agent("family", f"sleep 600 & (sleep 600 & sleep 600) &\n{gate}")
        system.agent("escapee", f"trap '' TERM\nsetsid sleep 600 &\n{gate}")
        await system.up("safety", "coordinator", "runner-local")
        async with system.coordinator() as client:
            await client.reload_agents()
            tasks = (await client.submit([TaskSpec(agent="family"), TaskSpec(agent="escapee")])).tasks
            trees = await eventually(lambda: _grown(system), "both trees are there")
            answer = await client.cancel([task.id for task in tasks], reason="enough")
            watch = Stopwatch()
            await eventually(lambda: not any(one.alive() for one in trees), "every process is gone")
            gone_after = watch.seconds
            states = await eventually(lambda: _ended(system, [task.id for task in tasks]), "both have ended")

    print(f"{len(trees)} processes of two trees gone {gone_after:.2f} s after the cancel; {states}")
    assert gone_after < within
    assert answer.cancelled == 2 and all(task.cancel_requested for task in answer.tasks)
    assert states == [TaskState.CANCELLED] * 2


def _grown(system: Deployment) -> list[Process] | None:
    trees = [one for tree in system.scripts().values() for one in tree]
    return trees if len(trees) >= 6 else None


async def _ended(system: Deployment, ids: list[str]) -> list[TaskState] | None:
    async with system.coordinator() as client:
        states = [(await client.get_task(task_id)).state for task_id in ids]
    return states if all(state.ended for state in states) else None
