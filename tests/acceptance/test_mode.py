"""The ladder on real processes: what is frozen goes on as the same process, what drains ends, what is set survives."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec, TaskState, TaskView
from tests.acceptance.deployment import Deployment, deployed, ended
from tests.measured import measured
from tests.runner.frozen import stands_still
from tests.waiting import Stopwatch, eventually, looks

FROZEN_WITHIN_SECONDS = 2.5
SILENCE_SECONDS = 1.5
EVERYBODY = ("safety", "coordinator", "runner-local")

COUNTING = """
sleep 600 &
while [ ! -e "$QUANTUM_WORKSPACE/enough" ]; do
  echo "$$" >> "$QUANTUM_WORKSPACE/count-$QUANTUM_TASK_ID"
  sleep 0.02
done
kill $!
"""


def counted(system: Deployment, task_id: str) -> list[str]:
    """The pid that a counting task has written again and again."""
    path = system.workspace.root / f"count-{task_id}"
    return path.read_text().split("\n")[:-1] if path.exists() else []


async def why(client: CoordinatorClient, task_id: str, code: str) -> str | None:
    found = await client.explain(task_id)
    return found.sentence if found.code == code else None


async def in_state(client: CoordinatorClient, task_id: str, state: TaskState) -> TaskView | None:
    task = await client.get_task(task_id)
    return task if task.state is state else None


async def rests(system: Deployment, task_ids: list[str], seconds: float) -> bool:
    """Whether none of them counts for a time."""
    before = [len(counted(system, task_id)) for task_id in task_ids]
    async for _ in looks(seconds):
        if [len(counted(system, task_id)) for task_id in task_ids] != before:
            return False
    return True


@pytest.mark.parametrize("within", measured(FROZEN_WITHIN_SECONDS))
async def test_what_is_frozen_goes_on_as_the_same_process(tmp_path: Path, within: float) -> None:
    async with deployed(tmp_path, max_concurrent_agents=4) as system:
        system.agent("counting", COUNTING)
        await system.up(*EVERYBODY)
        async with system.coordinator() as client, system.safety() as safety:
            await client.reload_agents()
            ids = [task.id for task in (await client.submit([TaskSpec(agent="counting")] * 3)).tasks]
            await eventually(lambda: all(len(counted(system, task_id)) > 5 for task_id in ids), "they count")
            pids = {task_id: set(counted(system, task_id)) for task_id in ids}

            watch = Stopwatch()
            await safety.tighten_mode("FROZEN", reason="a look at it")
            for task_id in ids:
                await eventually(
                    lambda task_id=task_id: in_state(client, task_id, TaskState.PAUSED),  # type: ignore[misc]
                    "it is paused",
                )
            frozen_after = watch.seconds
            quiet = await rests(system, ids, SILENCE_SECONDS)
            still = [stands_still(one.pid) for processes in system.scripts().values() for one in processes]
            said = await eventually(lambda: why(client, ids[0], "mode"), "why names the mode")
            later = (await client.submit([TaskSpec(agent="counting")])).tasks[0].id
            said_of_new = await eventually(lambda: why(client, later, "mode"), "the new one waits for the mode")
            begun = len(system.runs.all())

            watch = Stopwatch()
            await safety.resume_mode(reason="seen")
            numbers = {task_id: len(counted(system, task_id)) for task_id in ids}
            await eventually(
                lambda: all(len(counted(system, task_id)) > numbers[task_id] + 3 for task_id in ids), "they count on"
            )
            resumed_after = watch.seconds
            await eventually(lambda: in_state(client, ids[0], TaskState.RUNNING), "it is running again")
            (system.workspace.root / "enough").touch()
            counts = await ended(client, 4)
            attempts = [(await client.get_task(task_id)).attempt for task_id in ids]

    print(
        f"three trees paused {frozen_after:.2f} s after FROZEN, on {resumed_after:.2f} s after the resume;"
        f" “{said}”; “{said_of_new}”"
    )
    assert frozen_after < within and resumed_after < within
    assert quiet and still and all(still), "the children, too"
    assert "FROZEN" in said and "a look at it" in said and "FROZEN" in said_of_new
    assert begun == 3
    assert {task_id: set(counted(system, task_id)) for task_id in ids} == pids, "the very same processes"
    assert all(len(found) == 1 for found in pids.values())
    assert attempts == [1, 1, 1], "no attempt was lost"
    assert counts == {TaskState.SUCCEEDED: 4}


@pytest.mark.long
async def test_frozen_trees_outlive_coordinator_and_safety(tmp_path: Path) -> None:
    async with deployed(tmp_path) as system:
        system.agent("counting", COUNTING)
        await system.up(*EVERYBODY)
        async with system.coordinator() as client, system.safety() as safety:
            await client.reload_agents()
            task_id = (await client.submit([TaskSpec(agent="counting")])).tasks[0].id
            await eventually(lambda: len(counted(system, task_id)) > 5, "it counts")
            await safety.tighten_mode("FROZEN", reason="a look at it")
            await eventually(lambda: in_state(client, task_id, TaskState.PAUSED), "it is paused")
        system.kill("coordinator", "safety")
        quiet = await rests(system, [task_id], SILENCE_SECONDS)
        await system.up("safety", "coordinator")
        async with system.coordinator() as client, system.safety() as safety:
            await eventually(lambda: why(client, task_id, "mode"), "why names the mode again")
            quiet = quiet and await rests(system, [task_id], SILENCE_SECONDS)
            state = (await client.get_task(task_id)).state
            await safety.resume_mode(reason="seen")
            number = len(counted(system, task_id))
            await eventually(lambda: len(counted(system, task_id)) > number + 3, "it counts on")
            (system.workspace.root / "enough").touch()
            counts = await ended(client, 1)
    assert quiet and state is TaskState.PAUSED
    assert len(set(counted(system, task_id))) == 1 and len(system.runs.all()) == 1
    assert counts == {TaskState.SUCCEEDED: 1}


async def test_a_drain_lets_what_runs_end_and_a_guard_lets_everything_start(tmp_path: Path) -> None:
    async with deployed(tmp_path, max_concurrent_agents=1) as system:
        system.agent("gated", system.runs.gate())
        await system.up(*EVERYBODY)
        async with system.coordinator() as client, system.safety() as safety:
            await client.reload_agents()
            await safety.tighten_mode("GUARDED", reason="costs")
            first, second = [task.id for task in (await client.submit([TaskSpec(agent="gated")] * 2)).tasks]
            await eventually(system.runs.alive, "GUARDED lets it start")
            await safety.tighten_mode("DRAIN", reason="the night")
            said = await eventually(lambda: why(client, second, "mode"), "the second waits for the mode")
            with system.runs.open_gate():
                await eventually(lambda: in_state(client, first, TaskState.SUCCEEDED), "the first ends")
                async for _ in looks(SILENCE_SECONDS):
                    assert len(system.runs.all()) == 1, "nothing new starts"
                mode = await safety.get_mode()
                await safety.resume_mode("GUARDED", reason="the day")
                counts = await ended(client, 2)
    print(f"“{said}”")
    assert "DRAIN" in said and "the night" in said
    assert (mode.mode, mode.reason) == ("DRAIN", "the night")
    assert counts == {TaskState.SUCCEEDED: 2}


async def test_kill_dash_nine_of_everything_loosens_nothing(tmp_path: Path) -> None:
    async with deployed(tmp_path, breaker_open_seconds=600) as system:
        system.agent("frail", "exit 1")
        system.agent("counting", COUNTING)
        await system.up(*EVERYBODY)
        async with system.coordinator() as client, system.safety() as safety:
            await client.reload_agents()
            await client.submit([TaskSpec(agent="frail")] * 3)
            await ended(client, 3)
            counting = (await client.submit([TaskSpec(agent="counting")])).tasks[0].id
            await eventually(lambda: counted(system, counting), "it counts")
            held = (await client.submit([TaskSpec(agent="frail")])).tasks[0].id
            await eventually(lambda: why(client, held, "breaker"), "the breaker holds it")
            await safety.tighten_mode("FROZEN", reason="an incident")
            await eventually(lambda: in_state(client, counting, TaskState.PAUSED), "it is paused")
            before = {one.scope: one for one in await safety.list_breakers()}
            mode = await safety.get_mode()

        kill_everything(system)
        begun = len(system.runs.all())
        # What was lost is to be seen soon: until here, no lease was to run out.
        system.environ.update(QUANTUM_LEASE_SECONDS="2", QUANTUM_HEARTBEAT_SECONDS="0.5")
        await system.up(*EVERYBODY)

        async with system.coordinator() as client, system.safety() as safety:
            after = {one.scope: one for one in await safety.list_breakers()}
            mode_after = await safety.get_mode()
            await eventually(lambda: why(client, held, "mode"), "the mode holds it")
            await eventually(lambda: in_state(client, counting, TaskState.QUEUED), "its attempt was lost")
            async for _ in looks(SILENCE_SECONDS):
                assert len(system.runs.all()) == begun, "nothing starts"
            await safety.resume_mode(reason="over")
            said = await eventually(lambda: why(client, held, "breaker"), "its breaker holds it still")
            (system.workspace.root / "enough").touch()
            await eventually(lambda: in_state(client, counting, TaskState.SUCCEEDED), "the other one runs again")
            failures = [run for run in system.runs.all() if run.agent == "frail"]
    opened = before["agent:frail"]
    print(f"before and after: {mode.mode}, {opened.scope} {opened.state} until {opened.until}; “{said}”")
    assert mode_after == mode and mode.mode == "FROZEN"
    assert after == before and opened.state == "open"
    assert len(failures) == 3


def kill_everything(system: Deployment) -> None:
    """kill -9 of every process of the workspace: services, warden and scripts, in no order."""
    for one in system.processes():
        one.send(signal.SIGKILL)
    system.kill(*list(system.running))
