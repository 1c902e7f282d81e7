"""Never two live attempts of one task, and no work lost: the runner, its warden or the coordinator stopped or gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.coordinator_values import TaskSpec, TaskState, TaskView
from tests.acceptance.deployment import Deployment, deployed
from tests.waiting import CLOCK, eventually

SLACK_SECONDS = 1.5
"""For a machine that is busy with other tests."""

Lines = list[tuple[int, float]]
LEASES = [pytest.param(2.0), pytest.param(20.0, marks=[pytest.mark.long, pytest.mark.timeout(300)])]


def write_lines(period_seconds: float) -> str:
    """Shell that notes its fence and the time, again and again, until `gone_on` is there."""
    note = 'echo "$QUANTUM_FENCE $(cut -d" " -f1 /proc/uptime)" >> "$QUANTUM_WORKSPACE/lines"'
    return f'while [ ! -e "$QUANTUM_WORKSPACE/gone_on" ]; do {note}; sleep {period_seconds:g}; done'


def lines_of(system: Deployment) -> Lines:
    """(fence, seconds since boot) of every line that was written whole."""
    path = system.workspace.root / "lines"
    text = path.read_text() if path.exists() else ""
    return [(int(fence), float(at)) for fence, at in (line.split() for line in text.splitlines())]


def attempts_of(lines: Lines) -> list[tuple[float, float]]:
    """First and last line of each attempt, in the order of their fences."""
    found = [[at for each, at in lines if each == fence] for fence in sorted({fence for fence, _ in lines})]
    return [(min(times), max(times)) for times in found]


async def state_of(system: Deployment, task_id: str) -> TaskView:
    async with system.coordinator() as client:
        return await client.get_task(task_id)


def warden_of(runner: int) -> int:
    (child,) = Path(f"/proc/{runner}/task/{runner}/children").read_text().split()
    return int(child)


def stop(system: Deployment) -> None:
    os.kill(system.running["runner-one"].pid, signal.SIGSTOP)


def kill(system: Deployment) -> None:
    system.kill("runner-one")


def kill_warden(system: Deployment) -> None:
    os.kill(warden_of(system.running["runner-one"].pid), signal.SIGKILL)


@pytest.mark.parametrize("lease", LEASES)
@pytest.mark.parametrize("strike", [stop, kill, kill_warden])
async def test_no_two_attempts_live_at_once(tmp_path: Path, strike: Callable[[Deployment], None], lease: float) -> None:
    async with deployed(tmp_path, lease_seconds=lease, heartbeat_seconds=lease / 5, host_guard="off") as system:
        system.agent("writer", write_lines(lease / 20))
        await system.up("safety", "coordinator", "runner-one")
        async with system.coordinator() as client:
            await client.reload_agents()
            task = (await client.submit([TaskSpec(agent="writer")])).tasks[0]
            await eventually(lambda: len(lines_of(system)) >= 3, "the first attempt writes")
            await system.up("runner-two")
            struck_at = CLOCK.boottime()
            strike(system)
            await eventually(
                lambda: len(attempts_of(lines_of(system))) == 2,
                "it runs again",
                within=1.75 * lease + 2 * SLACK_SECONDS,
            )
            if strike is stop:
                # As long as it lasts three leases: a minute, where a lease is 20 s.
                await asyncio.sleep(max(0.0, struck_at + 3 * lease - CLOCK.boottime()))
                os.kill(system.running["runner-one"].pid, signal.SIGCONT)
                await eventually(lambda: system.log_lines("stale_fence_refused"), "the late result is refused")
            elif strike is kill_warden:
                code = await asyncio.to_thread(system.running["runner-one"].child.wait, 30)
                assert code == 70, "a runner without its warden ends, for its supervisor to start it anew"
            await asyncio.sleep(lease / 4)
            (system.workspace.root / "gone_on").touch()
            after = await eventually(lambda: _ended(system, task.id), "it ends")
            counts = (await client.queue_stats()).counts
    (first, last), (again, _) = attempts_of(lines_of(system))
    print(
        f"{strike.__name__}, lease {lease:g} s: the first attempt wrote until {last - struck_at:+.2f} s, the second "
        f"from {again - struck_at:+.2f} s; overlap {max(0.0, last - again):.2f} s"
    )
    assert first < struck_at < again and last < again, "overlap"
    assert (after.state, after.attempt, after.runner) == (TaskState.SUCCEEDED, 2, "two")
    assert counts[TaskState.SUCCEEDED] == 1


@pytest.mark.parametrize("lease", LEASES)
async def test_while_the_coordinator_is_away_trees_are_frozen_and_ended_and_what_was_done_counts(
    tmp_path: Path, lease: float
) -> None:
    async with deployed(tmp_path, lease_seconds=lease, heartbeat_seconds=lease / 5, host_guard="off") as system:
        system.agent("writer", write_lines(lease / 20))
        system.agent("short", system.runs.gate("short"))
        await system.up("safety", "coordinator", "runner-one")
        async with system.coordinator() as client:
            await client.reload_agents()
            tasks = (await client.submit([TaskSpec(agent="writer"), TaskSpec(agent="short")])).tasks
        writer, short = (task.id for task in tasks)
        await eventually(lambda: len(system.runs.alive()) == 2 and len(lines_of(system)) >= 3, "both run")
        old = [process for tree in system.scripts().values() for process in tree]
        system.kill("coordinator")
        killed_at = CLOCK.boottime()
        with system.runs.open_gate("short"):
            await eventually(lambda: len(system.runs.alive()) == 1, "one ends while nobody can be told")
        done_at = CLOCK.boottime()
        await eventually(lambda: not [one for one in old if one.alive()], "the other is ended", within=1.6 * lease + 3)
        ended_after = CLOCK.boottime() - killed_at
        await asyncio.sleep(max(0.0, killed_at + 3 * lease - CLOCK.boottime()))
        assert len(attempts_of(lines_of(system))) == 1, "nothing starts while the coordinator is away"
        await system.up("coordinator")
        first = await eventually(lambda: _ended(system, short), "what was done is handed in")
        # A runner's failure is no fault of the script: it begins again within ten seconds.
        await eventually(lambda: len(attempts_of(lines_of(system))) == 2, "work goes on", within=2 * lease + 20)
        (system.workspace.root / "gone_on").touch()
        second = await eventually(lambda: _ended(system, writer), "it ends")
    (_, last), (again, _) = attempts_of(lines_of(system))
    print(
        f"lease {lease:g} s: wrote until {last - killed_at:+.2f} s after the coordinator's end, ended after "
        f"{ended_after:.2f} s, began again {again - killed_at:+.2f} s after it"
    )
    assert done_at - killed_at < 0.75 * lease - lease / 5, "it ended before its deadline, or this shows nothing"
    assert 0.5 * lease < last - killed_at < 0.75 * lease + SLACK_SECONDS, "frozen"
    assert ended_after < 1.5 * lease + SLACK_SECONDS / 2
    assert (first.state, first.attempt) == (TaskState.SUCCEEDED, 1)
    assert (second.state, second.attempt) == (TaskState.SUCCEEDED, 2)


async def _ended(system: Deployment, task_id: str) -> TaskView | None:
    task = await state_of(system, task_id)
    return task if task.state.ended else None
