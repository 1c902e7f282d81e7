"""kill -9 of a runner: its warden ends what ran, and what may run again does so elsewhere under a higher fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cli.processes.identity import Process
from clients.attachment_values import AttemptRef
from clients.coordinator_values import TaskSpec, TaskState, TaskView
from tests.acceptance.deployment import Deployment, deployed, ended, tasks_of
from tests.acceptance.late_results import hand_in_late
from tests.waiting import CLOCK, PATIENCE_SECONDS, eventually

SLACK_SECONDS = 1.5
"""For a machine that is busy with other tests: looking, spawning, one tick of the coordinator."""
MEASURED_SECONDS = 20.0
"""With a lease as long as this, how soon everything happens is held; with a short one, that it does, and its order."""

Trees = Mapping[tuple[str, int], Sequence[Process]]


async def all_gone(trees: Trees, within: float) -> None:
    await eventually(
        lambda: not [one.pid for tree in trees.values() for one in tree if one.alive()],
        "every process of the lost runner's attempts is gone",
        within=within,
    )


@pytest.mark.parametrize(
    "lease", [pytest.param(2.0), pytest.param(MEASURED_SECONDS, marks=[pytest.mark.long, pytest.mark.timeout(240)])]
)
async def test_ten_tasks_survive_their_runner(tmp_path: Path, lease: float) -> None:
    async with deployed(tmp_path, lease_seconds=lease, heartbeat_seconds=lease / 5) as system:
        gate = system.runs.gate()
        # Each has a child as well, and that of the deaf ones has a session of its own.
        system.agent("calm", f"sleep 600 &\n{gate}\nkill $!")
        system.agent("deaf", f"trap '' TERM\nsetsid sleep 600 &\n{gate}\nkill -9 $!")
        system.agent("single", f"sleep 600 &\n{gate}", effects="once")
        await system.up("safety", "coordinator", "runner-one")
        async with system.coordinator() as client:
            await client.reload_agents()
            specs = [TaskSpec(agent=agent) for agent in ("calm", "calm", "calm", "deaf", "deaf", *("single",) * 5)]
            submitted = (await client.submit(specs)).tasks
            await eventually(lambda: len(system.runs.alive()) == 10, "ten attempts run")
            await eventually(lambda: _running(system, 10), "the coordinator counts ten running")
            old = system.scripts()
            await eventually(lambda: sum(map(len, system.scripts().values())) >= 20, "their children run")
            old = system.scripts()
            await system.up("runner-two")

            system.kill("runner-one")
            killed_at = CLOCK.boottime()
            await all_gone(
                old, within=1.5 * lease + SLACK_SECONDS / 2 if lease >= MEASURED_SECONDS else PATIENCE_SECONDS
            )
            gone_after = CLOCK.boottime() - killed_at
            early = [run for run in system.runs.all() if (run.task_id, run.fence) not in old]
            await eventually(
                lambda: len(system.runs.alive()) == 5,
                "five run again",
                within=1.75 * lease + SLACK_SECONDS - gone_after if lease >= MEASURED_SECONDS else PATIENCE_SECONDS,
            )
            again_after = CLOCK.boottime() - killed_at
            tasks = await eventually(lambda: _settled(system), "five run on, five wait for a decision")
            refs = [AttemptRef(*ref) for ref in old]
            disowned, refused = await hand_in_late(system, refs)
            after = await tasks_of(client)
            with system.runs.open_gate():
                counts = await ended(client, 5)
        async with system.safety() as safety:
            breakers = await safety.list_breakers(not_closed=True)

    fences = dict(old.keys())
    print(
        f"lease {lease:g} s: {sum(map(len, old.values()))} processes of ten attempts gone after {gone_after:.2f} s, "
        f"five running again after {again_after:.2f} s; {len(refused)} late results refused; {len(breakers)} breakers"
    )
    assert len(old) == len(submitted) == 10
    assert not early, "nothing starts again before the old processes are gone"
    assert again_after >= 1.5 * lease - lease / 5, "the lease counts from the last heartbeat that was sent"
    repeatable = {task.id for task in submitted if task.agent != "single"}
    for task in tasks.values():
        if task.id in repeatable:
            assert task.state is TaskState.RUNNING and task.runner == "two" and task.fence > fences[task.id]
            assert task.attempt == 2
        else:
            assert task.state is TaskState.NEEDS_DECISION and "effects" in task.reason
    assert disowned == set(refs) == refused
    assert {task.id: (task.state, task.fence) for task in after.values()} == {
        task.id: (task.state, task.fence) for task in tasks.values()
    }, "a refused result changes nothing"
    assert counts == {TaskState.SUCCEEDED: 5, TaskState.NEEDS_DECISION: 5}
    assert breakers == ()


async def _running(system: Deployment, count: int) -> bool:
    async with system.coordinator() as client:
        return (await client.queue_stats()).counts[TaskState.RUNNING] == count


async def _settled(system: Deployment) -> dict[str, TaskView] | None:
    async with system.coordinator() as client:
        tasks = await tasks_of(client)
    states = [task.state for task in tasks.values()]
    if states.count(TaskState.RUNNING) == 5 and states.count(TaskState.NEEDS_DECISION) == 5:
        return tasks
    return None
