"""A runner on another host whose cable is pulled: fenced there, its task started elsewhere, its late result refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec, TaskState
from tests.acceptance.deployment import Deployment
from tests.acceptance.elsewhere import OtherHost, attached, fleet, invite, other_host
from tests.acceptance.namespaces import HERE, Cable, cable
from tests.waiting import CLOCK, eventually, looks

LEASE_SECONDS = 4.0
ROUNDS = 3


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_pulled_cable_never_makes_two(tmp_path: Path) -> None:
    """In each round a task runs there, the cable is pulled for longer than its lease, and the task ends here, once."""
    seen: Counter[str] = Counter()
    with cable() as link:
        async with (
            fleet(
                tmp_path,
                address=HERE,
                lease_seconds=LEASE_SECONDS,
                heartbeat_seconds=0.5,
                infrastructure_retry_seconds=0.1,
            ) as system,
            other_host(tmp_path / "other", link.within) as host,
        ):
            system.agent("works", system.runs.gate())
            joined = await asyncio.to_thread(host.join, await invite(system))
            assert joined.code == 0, joined
            host.runs.gate()
            host.start()
            await attached(system)
            async with system.coordinator() as client:
                await client.reload_agents()
                for _ in range(ROUNDS):
                    await _round(system, host, client, link, seen)
    print(dict(seen))
    assert seen["overlaps"] == 0
    assert (
        seen["fenced there"]
        == seen["late results refused"]
        == seen["rejoined by itself"]
        == seen["ended here"]
        == ROUNDS
    )


async def _round(
    system: Deployment, host: OtherHost, client: CoordinatorClient, link: Cable, seen: Counter[str]
) -> None:
    [task] = (await client.submit([TaskSpec(agent="works")])).tasks
    await eventually(host.runs.alive, "it runs there")
    await eventually(partial(_runs, client, task.id), "the coordinator knows")
    refused = len(system.log_lines("stale_fence_refused"))
    link.pull()
    pulled_at = CLOCK.boottime()
    await system.up("runner-local")
    dead_at = here_at = 0.0
    async for _ in looks(4 * LEASE_SECONDS):
        there, here = host.runs.alive(), system.runs.of(task.id)
        seen["overlaps"] += bool(there and here)
        dead_at = dead_at or (0.0 if there else CLOCK.boottime())
        here_at = here_at or (CLOCK.boottime() if here else 0.0)
        if dead_at and here_at:
            break
    print(f"dead there after {dead_at - pulled_at:.2f} s, begun here after {here_at - pulled_at:.2f} s")
    assert 0 < dead_at - pulled_at <= 1.5 * LEASE_SECONDS + 1, "by its warden's own clock"
    assert dead_at < here_at
    seen["fenced there"] += 1
    link.plug_in()
    await eventually(lambda: len(system.log_lines("stale_fence_refused")) > refused, "its late result is refused")
    seen["late results refused"] += 1
    with system.runs.open_gate():
        await eventually(partial(_has_ended, client, task.id), "it has ended")
    done = await client.get_task(task.id)
    assert (done.state, done.attempt, done.runner) == (TaskState.SUCCEEDED, 2, "local")
    seen["ended here"] += 1
    await system.stop("runner-local")
    # The only runner that is left is the one whose cable was pulled.
    [again] = (await client.submit([TaskSpec(agent="hello")])).tasks
    await eventually(partial(_has_ended, client, again.id), "it takes work again")
    seen["rejoined by itself"] += (await client.get_task(again.id)).runner == "attic"


async def _runs(client: CoordinatorClient, task_id: str) -> bool:
    return (await client.get_task(task_id)).state is TaskState.RUNNING


async def _has_ended(client: CoordinatorClient, task_id: str) -> bool:
    return (await client.get_task(task_id)).state.ended
