"""The order to stop ends everything in time whoever is gone already, and holds through a restart until `resume`."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.coordinator_values import TaskSpec, TaskState
from foundation.stop_file import StopFile
from tests.acceptance.deployment import Deployment, deployed, ended
from tests.waiting import CLOCK, PATIENCE_SECONDS, Stopwatch, eventually

RUNNING, DEAF, SINGLE, WAITING = 20, 3, 4, 10
EXTRA_SECONDS = 2.0
"""What a tree that ends at SIGTERM may take; one that does not, that much more than its grace."""
LOOK_SECONDS = 0.5
SILENCE_SECONDS = 2.5

DEFAULT_GRACE_SECONDS = 10.0

LONG = [pytest.mark.long, pytest.mark.timeout(240)]


async def order_stop(system: Deployment) -> None:
    """What `quantum stop --all` does: the file first, then whoever can be reached."""
    StopFile(system.workspace.stop_file).write(who="test", why="an emergency", now=CLOCK.now())
    if "safety" in system.running:
        async with system.safety() as safety:
            await safety.tighten_mode("STOPPED", reason="an emergency")


@pytest.mark.parametrize(
    ("gone", "grace"),
    [
        ((), 1.0),
        (("safety",), 1.0),
        (("safety", "coordinator"), 1.0),
        pytest.param((), 10.0, marks=LONG),
        pytest.param(("safety",), 10.0, marks=LONG),
        pytest.param(("safety", "coordinator"), 10.0, marks=LONG),
        pytest.param(("safety", "coordinator", "runner-local"), 10.0, marks=LONG),
    ],
    ids=lambda value: "+".join(value) or "nobody" if isinstance(value, tuple) else f"{value:g}s",
)
async def test_twenty_running_tasks_end_and_stay_ended(tmp_path: Path, gone: tuple[str, ...], grace: float) -> None:
    """With the grace that is the default, how soon they end is held; with a short one, that they do."""
    extra = EXTRA_SECONDS if grace >= DEFAULT_GRACE_SECONDS else PATIENCE_SECONDS
    everybody = ("safety", "coordinator", "runner-local")
    async with deployed(tmp_path, max_concurrent_agents=RUNNING, stop_grace_seconds=grace) as system:
        gate = system.runs.gate()
        system.agent("calm", f"sleep 600 &\n{gate}\nkill $!")
        system.agent("deaf", f"trap '' TERM\n{gate}")
        system.agent("single", gate, effects="once")
        await system.up(*everybody)
        async with system.coordinator() as client:
            await client.reload_agents()
            agents = ("deaf",) * DEAF + ("single",) * SINGLE + ("calm",) * (RUNNING - DEAF - SINGLE + WAITING)
            await client.submit([TaskSpec(agent=agent) for agent in agents])
            await eventually(lambda: len(system.runs.alive()) == RUNNING, "twenty run")
            await eventually(lambda: _counted_running(system), "twenty are counted")
        deaf = {(run.task_id, run.fence) for run in system.runs.all() if run.agent == "deaf"}
        if gone:
            system.kill(*gone)

        ordered_at, watch = CLOCK.boottime(), Stopwatch()
        await order_stop(system)
        await eventually(
            lambda: not set(system.scripts()) - deaf,
            "all that heed SIGTERM are gone",
            within=extra + LOOK_SECONDS,
        )
        calm_after = watch.seconds
        await eventually(lambda: not system.scripts(), "all are gone", within=grace + extra + LOOK_SECONDS - calm_after)
        all_after = CLOCK.boottime() - ordered_at
        begun = len(system.runs.all())

        left = [name for name in everybody if name in system.running]
        await system.stop(*reversed(left))
        await system.up(*everybody)
        async with system.coordinator() as client, system.safety() as safety:
            canary = (await client.submit([TaskSpec(agent="calm")])).tasks[0]
            why = await eventually(lambda: _why(system, canary.id, "mode"), "the queue says that all is stopped")
            started = await system.begun_within(SILENCE_SECONDS) - begun
            mode = await safety.get_mode()
            await safety.resume_mode(reason="it is over")
            stop_file_left = system.workspace.stop_file.exists()
            with system.runs.open_gate():
                counts = await ended(client, RUNNING - SINGLE + WAITING + 1)
            breakers = await safety.list_breakers(not_closed=True)

    print(
        f"gone before: {gone or 'nobody'}; grace {grace:g} s; {RUNNING - DEAF} trees dead after {calm_after:.2f} s, "
        f"all {RUNNING} after {all_after:.2f} s; started until resume: {started}; “{why}”; after resume {counts}"
    )
    assert all_after >= grace, "the deaf ones had their grace"
    assert begun == RUNNING, "nothing took the place of those that ended"
    assert started == 0
    assert mode.mode == "STOPPED" and mode.stop_file
    assert not stop_file_left
    assert counts == {TaskState.SUCCEEDED: RUNNING - SINGLE + WAITING + 1, TaskState.NEEDS_DECISION: SINGLE}
    assert breakers == ()


async def _counted_running(system: Deployment) -> bool:
    async with system.coordinator() as client:
        return (await client.queue_stats()).counts[TaskState.RUNNING] == RUNNING


async def _why(system: Deployment, task_id: str, code: str) -> str | None:
    async with system.coordinator() as client:
        why = await client.explain(task_id)
    return why.sentence if why.code == code else None
