"""kill -9 of the coordinator in the middle of firings: one run for each minute, none twice, none left out."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clients.coordinator_values import TaskState
from tests.acceptance.deployment import Deployment, deployed, tasks_of
from tests.acceptance.played_time import POINTS, write_end, write_time
from tests.waiting import PATIENCE_SECONDS, chance_moment, eventually

MINUTE = timedelta(minutes=1)
START = datetime(2027, 3, 28, 0, 50, 30, tzinfo=UTC)  # ten minutes before Berlin's clocks leap to summer
MANIFEST = 'schedule = { cron = "* * * * *", timezone = "Europe/Berlin" }'
CHANCE_SECONDS_MAX = 0.06
BY_CHANCE = "by chance"
PROGRAM = ("tests.acceptance.played_time",)


class Played:
    """A system whose coordinator's clock is played, and what its kills have hit."""

    def __init__(self, system: Deployment) -> None:
        self.system = system
        self.minute = START
        self.hits: Counter[str] = Counter()

    def step(self) -> None:
        """The next minute begins."""
        self.minute += MINUTE
        write_time(self.system.workspace.root, self.minute)

    async def ended_at(self, point: str) -> None:
        """Return when the coordinator has killed itself at a point of its next firing; start it again."""
        child = self.system.running["coordinator"].child
        code = await asyncio.to_thread(child.wait, PATIENCE_SECONDS)
        assert code == -signal.SIGKILL, f"ended with {code}\n{self.system.last_words()}"
        del self.system.running["coordinator"]
        self.hits[point] += 1

    async def again(self, point: str = "") -> None:
        """Start the coordinator, which is to end at a point of its next firing, maybe before anybody sees it serve."""
        write_end(self.system.workspace.root, point)
        self.system.start("coordinator")
        if point in ("", BY_CHANCE):
            await self.system.serving("coordinator")

    async def has_run(self) -> None:
        """Return when the run of this minute has succeeded."""
        due = self.minute.replace(second=0)

        async def look() -> bool:
            async with self.system.coordinator() as client:
                [schedule] = (await client.schedules.why("tick")).schedules
            task = schedule.last_task
            return schedule.last_due == due and task is not None and task.state is TaskState.SUCCEEDED

        await eventually(look, f"the run of {due:%H:%M} has succeeded")

    async def runs(self) -> Counter[str]:
        """Runs that the schedule has started, by minute, each of them with its script seen by the file system."""
        async with self.system.coordinator() as client:
            tasks = [task for task in (await tasks_of(client)).values() if task.agent == "tick"]
        scripts = Counter(run.task_id for run in self.system.runs.all())
        assert scripts == Counter(task.id for task in tasks)
        return Counter(f"{task.created_at:%H:%M}" for task in tasks if task.created_at is not None)


@asynccontextmanager
async def played(folder: Path) -> AsyncIterator[Played]:
    """A system with the agent `tick`, which is due each minute."""
    async with deployed(folder, catalogue_scan_seconds=0.1) as system:
        system.coordinator_program = PROGRAM
        system.agent("tick", ":", manifest=MANIFEST)
        write_time(system.workspace.root, START)
        write_end(system.workspace.root, "")
        await system.up("safety", "coordinator", "runner-local")
        await eventually(lambda: is_seen(system), "the schedule is seen")
        yield Played(system)


async def is_seen(system: Deployment) -> bool:
    async with system.coordinator() as client:
        return "tick" in [schedule.name for schedule in await client.schedules.list()]


def by_minute(minutes: int) -> Counter[str]:
    return Counter(f"{START + number * MINUTE:%H:%M}" for number in range(1, minutes + 1))


SHORT = (("inside",), ("before", "after"))
LONG = 10 * (("before", "inside", "before", "inside", "after", BY_CHANCE),)


@pytest.mark.parametrize(
    "minutes", [pytest.param(SHORT), pytest.param(LONG, marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)
async def test_one_run_for_each_minute_and_two_without_the_one_transaction(
    tmp_path: Path, minutes: Sequence[Sequence[str]]
) -> None:
    """In each minute the coordinator is killed at these points of the one firing that is to come of them all.

    Without the protection, the minute after them has two.
    """
    seed = random.SystemRandom().getrandbits(32)
    chance = random.Random(seed)
    async with played(tmp_path) as one:
        for points in minutes:
            write_end(one.system.workspace.root, points[0])
            one.step()
            for point, following in zip(points, (*points[1:], ""), strict=True):
                if point == BY_CHANCE:
                    await chance_moment(chance, CHANCE_SECONDS_MAX)
                    one.system.kill("coordinator")
                    one.hits[point] += 1
                else:
                    await one.ended_at(point)
                await one.again(following)
            await one.has_run()
        runs = await one.runs()
        twice = await without_the_one_transaction(one)
    print({"seed": seed, "minutes": len(minutes), "kills": one.hits.total(), **one.hits, "control": dict(twice)})
    assert all(one.hits[point] for point in POINTS)
    assert runs == by_minute(len(minutes))
    assert twice == by_minute(len(minutes) + 1) + Counter([f"{one.minute:%H:%M}"])


async def without_the_one_transaction(one: Played) -> Counter[str]:
    """The control, one minute more: no key, and the record apart from the task. Returns all runs by minute."""
    one.system.kill("coordinator")
    one.system.coordinator_program = (*PROGRAM, "--apart")
    one.step()
    await one.again("between")
    await one.ended_at("between")
    await one.again()
    await one.has_run()
    return await one.runs()
