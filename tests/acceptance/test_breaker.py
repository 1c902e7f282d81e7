"""Three failures in a row hold an agent, through every restart, until a lone probe shows that it is well again."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec, TaskState
from clients.safety_values import BreakerView
from tests.acceptance.deployment import Deployment, deployed, ended
from tests.waiting import CLOCK, PATIENCE_SECONDS, eventually, looks

WATCHED_SECONDS = 2.0


async def run_one(client: CoordinatorClient, agent: str) -> TaskState:
    task = (await client.submit([TaskSpec(agent=agent)])).tasks[0]
    return await eventually(lambda: _ended(client, task.id), f"{agent} has ended")


async def _ended(client: CoordinatorClient, task_id: str) -> TaskState | None:
    state = (await client.get_task(task_id)).state
    return state if state.ended else None


async def breaker_of(system: Deployment, agent: str) -> BreakerView | None:
    async with system.safety() as safety:
        return {one.scope: one for one in await safety.list_breakers()}.get(f"agent:{agent}")


async def _in_state(system: Deployment, agent: str, state: str) -> BreakerView | None:
    breaker = await breaker_of(system, agent)
    return breaker if breaker is not None and breaker.state == state else None


@pytest.mark.timeout(400)
async def test_the_third_failure_opens_and_one_probe_closes(tmp_path: Path) -> None:
    """Where ten seconds are over before it was looked at after the restart, it is tried with a longer time."""
    for open_seconds in (10.0, 120.0):
        if await opens_and_closes(tmp_path / f"{open_seconds:g}", open_seconds):
            return
        print(f"{open_seconds:g} s were over too soon")
    raise AssertionError("it was never looked at while it was open")


async def opens_and_closes(folder: Path, open_seconds: float) -> bool:
    """The whole of it; false when the breaker's time was over before everything had restarted."""
    folder.mkdir()
    async with deployed(folder, breaker_open_seconds=open_seconds, breaker_jitter_share=0) as system:
        well = '[ -e "$QUANTUM_WORKSPACE/well-$QUANTUM_AGENT" ] || exit 1'
        system.agent("frail", f"{well}\n{system.runs.gate()}")
        system.agent("lucky", well)
        await system.up("safety", "coordinator", "runner-local")
        async with system.coordinator() as client:
            await client.reload_agents()
            failures = [await run_one(client, "frail") for _ in range(3)]
            waiting = [task.id for task in (await client.submit([TaskSpec(agent="frail")] * 4)).tasks]
            why = await eventually(lambda: _held(client, waiting[0]), "the queue says that a breaker holds it")
            opened = await breaker_of(system, "frail")
            two = [await run_one(client, "lucky") for _ in range(2)]
            (system.workspace.root / "well-lucky").touch()
            third = await run_one(client, "lucky")

        (system.workspace.root / "well-frail").touch()
        await system.restart()

        still = await breaker_of(system, "frail")
        async with system.coordinator() as client:
            why_still = await eventually(lambda: _held(client, waiting[0]), "it says so after the restart too")
            ran = [run.task_id for run in system.runs.all() if run.agent == "frail"]
            assert opened is not None and opened.until is not None
            if CLOCK.now() >= opened.until:
                return False
            await eventually(system.runs.alive, "the probe runs", within=open_seconds + PATIENCE_SECONDS)
            probing = await breaker_of(system, "frail")
            most = await most_alive(system, WATCHED_SECONDS)
            with system.runs.open_gate():
                counts = await ended(client, 10)
                await eventually(lambda: _in_state(system, "frail", "closed"), "the breaker is closed")
        lucky = await breaker_of(system, "lucky")

    system.runs.all()
    notes = [note for note in system.runs.notes if note[1] in waiting]
    print(
        f"after 3 failures: {opened.state}, “{why}”; "
        f"after a restart of everything: {still and still.state}, "
        f"“{why_still}”; probes at a time while half-open: {most}; after 2 failures: {lucky and lucky.state}"
    )
    assert failures == [TaskState.FAILED] * 3
    assert len(ran) == 3, "nothing of it starts while it is open"
    assert opened.state == "open" and opened.consecutive_failures == 3
    assert still is not None and still.state == "open"
    assert probing is not None and probing.state == "half_open" and probing.probe_task_id in waiting
    assert most == 1
    assert [word for word, _ in notes[:4]] == ["begin", "end"] * 2, "the second probe waits for the first"
    assert (two, third) == ([TaskState.FAILED] * 2, TaskState.SUCCEEDED)
    assert lucky is not None and lucky.state == "closed"
    assert counts == {TaskState.FAILED: 5, TaskState.SUCCEEDED: 5}
    return True


async def _held(client: CoordinatorClient, task_id: str) -> str | None:
    why = await client.explain(task_id)
    return why.sentence if why.code == "breaker" else None


async def most_alive(system: Deployment, seconds: float) -> int:
    """How many attempts ran at most, at any look within a time."""
    most = 0
    async for _ in looks(seconds):
        most = max(most, len(system.runs.alive()))
    return most


@pytest.mark.long
async def test_a_result_of_an_older_epoch_is_ignored_though_nobody_remembers(tmp_path: Path) -> None:
    """Coordinator and safety are killed while it runs; what it was admitted under lies with the attempt."""
    async with deployed(tmp_path, lease_seconds=20, heartbeat_seconds=1) as system:
        system.agent("frail", f"{system.runs.gate()}\nexit 1")
        await system.up("safety", "coordinator", "runner-local")
        async with system.coordinator() as client, system.safety() as safety:
            await client.reload_agents()
            old = (await client.submit([TaskSpec(agent="frail")])).tasks[0].id
            await eventually(lambda: _running(client, old), "it runs")
            await safety.force_open("agent:frail", reason="a repair")
            await safety.reset_breaker("agent:frail", reason="repaired")
        system.kill("coordinator", "safety")
        await system.up("safety", "coordinator")
        async with system.coordinator() as client, system.safety() as safety:
            with system.runs.open_gate():
                await eventually(lambda: _ended(client, old), "the old one has failed")
                fresh = (await client.submit([TaskSpec(agent="frail")])).tasks[0].id
                await eventually(lambda: _ended(client, fresh), "the new one has failed")
            breaker = await eventually(lambda: _counted(system, "frail"), "something was counted")
    print(f"one failure from before the reset, one from after it: {breaker.consecutive_failures} counted")
    assert (breaker.consecutive_failures, breaker.window_attempts) == (1, 1)


async def _running(client: CoordinatorClient, task_id: str) -> bool:
    return (await client.get_task(task_id)).state is TaskState.RUNNING


async def _counted(system: Deployment, agent: str) -> BreakerView | None:
    breaker = await breaker_of(system, agent)
    return breaker if breaker is not None and breaker.window_attempts else None
