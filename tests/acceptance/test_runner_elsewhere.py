"""A runner on another host joins by one command, runs what one here would, and goes when it is told to."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec, TaskState, TaskView
from clients.runner import RunnerClient
from foundation.stop_file import StopFile
from tests.acceptance.deployment import Deployment
from tests.acceptance.elsewhere import OtherHost, attached, command, fleet, invite, other_host
from tests.measured import measured
from tests.waiting import CLOCK, Stopwatch, eventually

GRACE_SECONDS = 2


async def finished(client: CoordinatorClient, spec: TaskSpec) -> TaskView:
    """Submit, and return the task once it has ended or waits for a person."""
    [task] = (await client.submit([spec])).tasks

    async def look() -> TaskView | None:
        seen = await client.get_task(task.id)
        return seen if seen.state.ended else None

    return await eventually(look, f"{spec.agent} has ended")


def _fleet(folder: Path) -> AbstractAsyncContextManager[Deployment]:
    return fleet(folder, heartbeat_seconds=0.5, stop_grace_seconds=GRACE_SECONDS)


@pytest.mark.parametrize("late_max", measured(2.0))
async def test_it_joins_and_runs_what_one_here_would(tmp_path: Path, late_max: float) -> None:
    async with _fleet(tmp_path) as system, other_host(tmp_path / "other") as host:
        where = 'echo "$QUANTUM_WORKSPACE|$0|$(pwd)"'
        system.agent("where", where)
        system.agent("talks", 'echo first\nread line < "$QUANTUM_WORKSPACE/.gate"\necho $line')
        system.agent("calm", "sleep 600")
        system.agent("deaf", "trap '' TERM\nwhile :; do sleep 1; done")
        for root, folder in ((system.workspace.root, "theirs"), (host.folder, "mine")):
            (root / folder).mkdir()
        (system.workspace.root / "config" / "projects.toml").write_text(
            f'[projects]\nsite = "{system.workspace.root}/theirs"\nelse = "{system.workspace.root}/theirs"\n'
        )
        invitation = await invite(system, "attic", "--label", "site=attic")
        joined = await asyncio.to_thread(host.join, invitation)
        assert joined.code == 0, joined
        await _is_private(host, invitation)
        host.workspace.projects_file.write_text(f'[projects]\nsite = "{host.folder}/mine"\n')
        host.runs.gate()
        again = await asyncio.to_thread(
            host.quantum, "runner", "join", "--from", "-", "--folder", "x", given=invitation
        )
        assert again.code == 77 and "used already" in again.err and "quantum runner invite attic" in again.err
        host.start()
        await attached(system)
        async with system.coordinator() as client:
            await client.reload_agents()
            await _runs(system, host, client, where)
            await _is_followed_paused_and_cancelled(system, host, client)
            await _stops_with_the_others(system, host, client, late_max)
            await _goes_when_it_is_removed(system, host, client, late_max / 2)


async def _is_private(host: OtherHost, invitation: str) -> None:
    """Nothing that lasts came with the invitation, and no secret lies open."""
    held = [path for path in host.workspace.root.rglob("*") if path.is_file()]
    assert host.workspace.root.stat().st_mode & 0o777 == 0o711
    assert host.workspace.state.stat().st_mode & 0o777 == 0o700
    for path in held:
        content = path.read_bytes()
        assert b"PRIVATE KEY" not in content and b"qtm_" not in content, path


async def _runs(system: Deployment, host: OtherHost, client: CoordinatorClient, where: str) -> None:
    [runner] = (await client.queue_stats()).runners
    assert runner.name == "attic"
    done = await finished(client, TaskSpec(agent="where"))
    assert done.state is TaskState.SUCCEEDED, done.reason
    root = host.workspace.root
    workspace, script, folder = done.output_tail.strip().split("|")
    assert (workspace, folder) == (str(root), str(root))
    assert script.startswith(f"{root}/scripts/attic/") and script.endswith("/where.sh")
    assert Path(script).read_bytes() == (system.workspace.agents / "where.sh").read_bytes()
    in_project = await finished(client, TaskSpec(agent="where", project="site"))
    assert in_project.output_tail.strip().split("|")[2] == f"{host.folder}/mine"
    unknown = await finished(client, TaskSpec(agent="where", project="else"))
    assert unknown.state is TaskState.DEAD and "has no folder on this runner" in unknown.reason
    assert (await finished(client, TaskSpec(agent="hello"))).state is TaskState.SUCCEEDED, "it comes with Quantum"
    system.agent("where", f"{where}; echo changed")
    await client.reload_agents()
    assert (await finished(client, TaskSpec(agent="where"))).output_tail.endswith("changed\n")


async def _is_followed_paused_and_cancelled(system: Deployment, host: OtherHost, client: CoordinatorClient) -> None:
    [task] = (await client.submit([TaskSpec(agent="talks")])).tasks
    heard = b""
    async with aclosing(client.read_log(task.id, follow=True)) as chunks:
        async for chunk in chunks:
            heard += chunk.data
            if heard == b"first\n":
                await asyncio.to_thread((host.workspace.root / ".gate").write_text, "second\n")
    assert heard == b"first\nsecond\n"

    [task] = (await client.submit([TaskSpec(agent="calm")])).tasks
    await eventually(lambda: host.scripts(), "calm runs there")
    async with RunnerClient.dial(host.workspace.socket("runner-attic"), token=lambda: system.token) as door:
        described = await door.describe()
    assert [one.task_id for one in described.attempts] == [task.id], "its own door knows the tokens of safety"
    async with system.safety() as safety:
        await safety.tighten_mode("FROZEN", reason="a look")
        before = host.scripts()
        await eventually(lambda: _is(client, task.id, TaskState.PAUSED), "it is paused")
        await safety.resume_mode()
    await eventually(lambda: _is(client, task.id, TaskState.RUNNING), "it goes on")
    assert host.scripts() == before
    await client.cancel([task.id])
    await eventually(lambda: _is(client, task.id, TaskState.CANCELLED), "it is cancelled")
    await eventually(lambda: not host.scripts(), "its processes are gone")


async def _is(client: CoordinatorClient, task_id: str, state: TaskState) -> bool:
    return (await client.get_task(task_id)).state is state


async def _stops_with_the_others(
    system: Deployment, host: OtherHost, client: CoordinatorClient, late_max: float
) -> None:
    """What `quantum stop --all` does: the file of another machine, which this one cannot see, then safety."""
    [calm, deaf] = (await client.submit([TaskSpec(agent="calm"), TaskSpec(agent="deaf")])).tasks
    await eventually(lambda: _is(client, calm.id, TaskState.RUNNING), "calm runs")
    await eventually(lambda: _is(client, deaf.id, TaskState.RUNNING), "deaf runs")
    await client.submit([TaskSpec(agent="calm")] * 3)
    await eventually(lambda: len(host.runs.alive()) == 5, "all of them run")
    began, watch = CLOCK.boottime(), Stopwatch()
    StopFile(system.workspace.stop_file).write(who="test", why="an emergency", now=CLOCK.now())
    async with system.safety() as safety:
        await safety.tighten_mode("STOPPED", reason="an emergency")
        await eventually(lambda: len(host.runs.alive()) == 1, "all but the deaf one have ended")
        calm_seconds = watch.seconds
        await eventually(lambda: not host.scripts(), "the deaf one has ended")
        deaf_seconds = CLOCK.boottime() - began
        print(f"stopped elsewhere: {calm_seconds:.2f} s, {deaf_seconds:.2f} s with a grace of {GRACE_SECONDS} s")
        assert deaf_seconds >= GRACE_SECONDS, "it had its grace"
        assert calm_seconds <= late_max and deaf_seconds <= GRACE_SECONDS + late_max
        await client.clear_queue()
        await safety.resume_mode()


async def _goes_when_it_is_removed(
    system: Deployment, host: OtherHost, client: CoordinatorClient, late_max: float
) -> None:
    [task] = (await client.submit([TaskSpec(agent="calm")])).tasks
    try:
        await eventually(lambda: _is(client, task.id, TaskState.RUNNING), "calm runs again")
    except AssertionError:
        print(await client.explain(task.id))
        raise
    async with system.safety() as safety:
        await safety.runners.remove("attic")
    watch = Stopwatch()

    async def gone() -> bool:
        return not (await client.queue_stats()).runners

    await eventually(gone, "its stream has ended")
    seconds = watch.seconds
    print(f"removed: its stream ended after {seconds:.2f} s")
    assert seconds <= late_max
    assert await host.code() == 77
    assert "was revoked" in host.said() and "quantum runner invite attic" in host.said()
    await eventually(lambda: not host.scripts(), "what ran there has ended")
    acts = json.loads((await asyncio.to_thread(command, system, "audit", "--json")).out)["records"]
    assert {"runner_invite", "runner_join", "runner_remove"} <= {record["act"] for record in acts}
