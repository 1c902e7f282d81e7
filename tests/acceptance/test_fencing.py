"""Never two live attempts of one task, and no work lost: the runner, its warden or the coordinator stopped or gone.

Each is shown a second time with runners that have no fence, where the same strike makes two, or lets the script go on.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients.attachment_values import AttemptRef
from clients.coordinator_values import TaskSpec, TaskState, TaskView
from tests.acceptance.deployment import Deployment, deployed
from tests.acceptance.late_results import hand_in_late
from tests.waiting import CLOCK, PATIENCE_SECONDS, eventually, looks

SLACK_SECONDS = 1.5
"""For a machine that is busy with other tests."""

TRIES = 3

FENCED = "services.agent_runner"
UNFENCED = "tests.acceptance.unfenced_runner"

Lines = list[tuple[int, float]]
Strike = Callable[[Deployment], None]
MEASURED_SECONDS = 20.0
"""With a lease as long as this, how soon everything happens is held; with a short one, that it does, and its order."""
LEASES = [pytest.param(2.0), pytest.param(MEASURED_SECONDS, marks=[pytest.mark.long, pytest.mark.timeout(300)])]


def write_lines(period_seconds: float) -> str:
    """Shell that notes its fence and the time, again and again, until `gone_on` is there."""
    note = 'echo "$QUANTUM_FENCE $(cut -d" " -f1 /proc/uptime)" >> "$QUANTUM_WORKSPACE/lines"'
    return f'while [ ! -e "$QUANTUM_WORKSPACE/gone_on" ]; do {note}; sleep {period_seconds:g}; done'


def lines_of(system: Deployment) -> Lines:
    """(fence, seconds since boot) of every line that was written whole."""
    path = system.workspace.root / "lines"
    text = path.read_text() if path.exists() else ""
    return [(int(fence), float(at)) for fence, at in (line.split() for line in text.split("\n")[:-1])]


def attempts_of(lines: Lines) -> list[tuple[float, float]]:
    """First and last line of each attempt, in the order of their fences."""
    found = [[at for each, at in lines if each == fence] for fence in sorted({fence for fence, _ in lines})]
    return [(min(times), max(times)) for times in found]


async def until(boottime: float) -> None:
    """An outage that is to last so long."""
    await eventually(lambda: CLOCK.boottime() >= boottime, "the time is over", within=100)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What came of a strike; times in seconds from it on."""

    before: int
    """Lines that the first attempt had written by then."""
    until: float
    """The first attempt's last line."""
    again: float
    """The second attempt's first line."""
    beside: int
    """Lines that the first attempt wrote after that."""
    refused: int
    """Late results of the first attempt."""
    task: TaskView
    succeeded: int

    @property
    def overlap(self) -> float:
        """For how long there were two."""
        return max(0.0, self.until - self.again)

    def __str__(self) -> str:
        return (
            f"the first attempt wrote {self.before} lines, and on until {self.until:+.2f} s, the second from "
            f"{self.again:+.2f} s; overlap {self.overlap:.2f} s, {self.beside} lines; "
            f"{self.refused} late results refused"
        )


def again_within(lease: float) -> float:
    """Seconds within which what a strike has ended must run again."""
    return 1.75 * lease + 2 * SLACK_SECONDS if lease >= MEASURED_SECONDS else PATIENCE_SECONDS


async def strike_down(folder: Path, strike: Strike, lease: float, *, fenced: bool = True) -> Struck:
    """Let one attempt write, strike its runner, and see when another one writes on a second runner."""
    async with deployed(folder, lease_seconds=lease, heartbeat_seconds=lease / 5, host_guard="off") as system:
        system.runner_program = FENCED if fenced else UNFENCED
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
                within=again_within(lease),
            )
            first = min(fence for fence, _ in lines_of(system))
            if strike is stop:
                # As long as it lasts three leases: a minute, where a lease is 20 s.
                await until(struck_at + 3 * lease)
                os.kill(system.running["runner-one"].pid, signal.SIGCONT)
                if fenced:  # else nothing has ended, and there is no result
                    await eventually(lambda: system.log_lines("stale_fence_refused"), "the late result is refused")
                refused = len(system.log_lines("stale_fence_refused"))
            else:
                if strike is kill_warden:
                    code = await asyncio.to_thread(system.running["runner-one"].child.wait, PATIENCE_SECONDS)
                    assert code == 70, "a runner without its warden ends, for its supervisor to start it anew"
                _, late = await hand_in_late(system, [AttemptRef(task.id, first)])
                refused = len(late)
            await until(CLOCK.boottime() + lease / 4)
            (system.workspace.root / "gone_on").touch()
            after = await eventually(lambda: _ended(system, task.id), "it ends")
            counts = (await client.queue_stats()).counts
    lines = lines_of(system)
    (_, last), (again, _) = attempts_of(lines)
    return Struck(
        before=len([at for _, at in lines if at < struck_at]),
        until=last - struck_at,
        again=again - struck_at,
        beside=len([at for fence, at in lines if fence == first and at >= again]),
        refused=refused,
        task=after,
        succeeded=counts[TaskState.SUCCEEDED],
    )


@pytest.mark.parametrize("lease", LEASES)
@pytest.mark.parametrize("strike", [stop, kill, kill_warden])
async def test_no_two_attempts_live_at_once(tmp_path: Path, strike: Strike, lease: float) -> None:
    struck = await strike_down(tmp_path, strike, lease)
    print(f"{strike.__name__}, lease {lease:g} s: {struck}")
    assert struck.before >= 3 and struck.again > 0, "it was struck while it wrote, and began again"
    assert struck.overlap == 0 and struck.beside == 0
    assert struck.refused >= 1
    assert (struck.task.state, struck.task.attempt, struck.task.runner) == (TaskState.SUCCEEDED, 2, "two")
    assert struck.succeeded == 1


@pytest.mark.parametrize("lease", LEASES)
@pytest.mark.parametrize(
    "strike", [stop, pytest.param(kill, marks=pytest.mark.long), pytest.param(kill_warden, marks=pytest.mark.long)]
)
async def test_control_without_the_fence_there_are_two(tmp_path: Path, strike: Strike, lease: float) -> None:
    struck = await strike_down(tmp_path, strike, lease, fenced=False)
    print(f"without the fence: {strike.__name__}, lease {lease:g} s: {struck}")
    assert struck.overlap > 0 and struck.beside > 0
    assert struck.succeeded == 1, "the number of the fence still lets only one of them count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """What came of a time without the coordinator; times in seconds from its end on."""

    short_done: float
    until: float
    """The first attempt's last line before the coordinator was back."""
    meanwhile: int
    """Lines that it wrote in that time."""
    unfrozen: int
    """Of these: later than the freeze should have been."""
    ended: float
    """When the last of its processes had gone; infinite: it never did."""
    again: float
    """The second attempt's first line; infinite: there was none."""
    short: TaskView
    writer: TaskView

    def __str__(self) -> str:
        return (
            f"wrote {self.meanwhile} lines until {self.until:+.2f} s after the coordinator's end, {self.unfrozen} of "
            f"them when it should have stood still; ended after {self.ended:.2f} s, began again {self.again:+.2f} s "
            "after it"
        )


async def take_coordinator_away(folder: Path, lease: float, *, fenced: bool = True) -> Away:
    """One script ends while nobody can be told, another would go on for ever.

    Where the one ended so late that its lease was nearly over, nothing would be shown, and it is tried again.
    """
    for number in range(TRIES):
        away = await coordinator_away(folder / str(number), lease, fenced=fenced)
        if away.short_done < 0.75 * lease - lease / 5:
            return away
        print(f"the short one was done after {away.short_done:.2f} s: too late to show anything")
    raise AssertionError("it never ended before its deadline")


async def coordinator_away(folder: Path, lease: float, *, fenced: bool) -> Away:
    """One trial."""
    folder.mkdir()
    async with deployed(folder, lease_seconds=lease, heartbeat_seconds=lease / 5, host_guard="off") as system:
        system.runner_program = FENCED if fenced else UNFENCED
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
        ended_at = math.inf
        async for _ in looks(killed_at + 3 * lease - CLOCK.boottime()):
            if ended_at == math.inf and not [one for one in old if one.alive()]:
                ended_at = CLOCK.boottime()
        meanwhile = [at for _, at in lines_of(system) if at > killed_at]
        assert len(attempts_of(lines_of(system))) == 1, "nothing starts while the coordinator is away"
        # However late the runner finds it, it is to be heard before anything counts as lost.
        system.environ.update(QUANTUM_LEASE_SECONDS="300")
        await system.up("coordinator")
        first = await eventually(lambda: _ended(system, short), "what was done is handed in")
        if ended_at < math.inf:
            # A runner's failure is no fault of the script: it begins again within ten seconds.
            await eventually(
                lambda: len(attempts_of(lines_of(system))) == 2, "work goes on", within=2 * lease + PATIENCE_SECONDS
            )
        (system.workspace.root / "gone_on").touch()
        second = await eventually(lambda: _ended(system, writer), "it ends")
    again = [begun for begun, _ in attempts_of(lines_of(system))[1:]]
    return Away(
        short_done=done_at - killed_at,
        until=max(meanwhile, default=killed_at) - killed_at,
        meanwhile=len(meanwhile),
        unfrozen=len([at for at in meanwhile if at - killed_at > 0.75 * lease + SLACK_SECONDS]),
        ended=ended_at - killed_at,
        again=min(again, default=math.inf) - killed_at,
        short=first,
        writer=second,
    )


@pytest.mark.parametrize("lease", LEASES)
async def test_while_the_coordinator_is_away_trees_are_frozen_and_ended_and_what_was_done_counts(
    tmp_path: Path, lease: float
) -> None:
    away = await take_coordinator_away(tmp_path, lease)
    print(f"lease {lease:g} s: {away}")
    assert away.meanwhile > 0 and away.until > 0.75 * lease - lease / 5 - SLACK_SECONDS / 2, "it wrote on at first"
    assert away.unfrozen == 0
    assert away.ended < (1.5 * lease + SLACK_SECONDS / 2 if lease >= MEASURED_SECONDS else math.inf)
    assert (away.short.state, away.short.attempt) == (TaskState.SUCCEEDED, 1)
    assert (away.writer.state, away.writer.attempt) == (TaskState.SUCCEEDED, 2)


@pytest.mark.parametrize("lease", LEASES)
async def test_control_without_the_fence_it_writes_on_while_the_coordinator_is_away(
    tmp_path: Path, lease: float
) -> None:
    away = await take_coordinator_away(tmp_path, lease, fenced=False)
    print(f"without the fence: lease {lease:g} s: {away}")
    assert away.unfrozen > 0
    assert away.until > 2.5 * lease and away.ended == math.inf


async def _ended(system: Deployment, task_id: str) -> TaskView | None:
    task = await state_of(system, task_id)
    return task if task.state.ended else None
