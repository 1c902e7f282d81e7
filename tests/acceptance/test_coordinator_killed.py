"""kill -9 of the coordinator under load: what was acknowledged ends once, nothing is lost, nothing is there twice.

kill -9 says nothing of a power cut: the kernel keeps what was written and not synced, so that a coordinator with
`synchronous = OFF` would pass here too. That the sync of a commit comes before its reply is proved below the database,
in tests/foundation/test_durability.py.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from clients.coordinator import CoordinatorClient
from clients.coordinator_values import TaskSpec, TaskState
from foundation.errors import QuantumError
from tests.acceptance.deployment import Deployment, deployed, ended, tasks_of
from tests.waiting import CLOCK, chance_moment, eventually

SUBMITTERS = 8
PAUSE_SECONDS_MAX = 0.4
CALM_SECONDS_MAX = 0.3
BURST_SECONDS_MAX = 0.006
# A submit of this age has reached the coordinator and cannot be durable yet. The others are of any age: without
# this one, all eight could be answered by the same commit just before the kill.
YOUNG_SECONDS = (0.0004, 0.0015)
DEADLINE = timedelta(seconds=10)


@dataclass(slots=True, eq=False)
class Call:
    """One submit on its way since `began`; `answered` None as long as nobody knows."""

    key: str
    began: float
    answered: bool | None = None


@dataclass(slots=True)
class Load:
    """Submits that go on for ever: each with a key of its own, sent again under the same key until acknowledged."""

    system: Deployment
    chance: random.Random
    acknowledged: dict[str, tuple[str, ...]] = field(default_factory=dict)
    asked: dict[str, Sequence[TaskSpec]] = field(default_factory=dict)
    under_way: set[Call] = field(default_factory=set)
    burst: asyncio.Event = field(default_factory=asyncio.Event)
    back: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False
    _numbers: count[int] = field(default_factory=count)

    async def run(self) -> None:
        """Submit until `stopping`; returns when the last key is acknowledged."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SUBMITTERS):
                group.create_task(self._submit_for_ever())

    def has_young_call(self) -> bool:
        """Whether a submit is on its way that nobody can have answered."""
        least, most = YOUNG_SECONDS
        now = CLOCK.boottime()
        return any(least <= now - call.began <= most for call in self.under_way)

    async def _submit_for_ever(self) -> None:
        async with self.system.coordinator() as client:
            while not self.stopping:
                key = f"key-{next(self._numbers)}"
                self.asked[key] = [self._spec() for _ in range(self.chance.randint(1, 3))]
                await self._submit(client, key)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.chance.uniform(0, PAUSE_SECONDS_MAX)):
                        await self.burst.wait()

    def _spec(self) -> TaskSpec:
        return TaskSpec(agent="long" if self.chance.random() < 0.25 else "short", priority=self.chance.randint(0, 9))

    async def _submit(self, client: CoordinatorClient, key: str) -> None:
        while key not in self.acknowledged:
            await self.back.wait()
            call = Call(key, CLOCK.boottime())
            self.under_way.add(call)
            try:
                answer = await client.submit(self.asked[key], idempotency_key=key, deadline=DEADLINE)
            except QuantumError:
                call.answered = False
                await asyncio.sleep(0)
            else:
                call.answered = True
                self.acknowledged[key] = tuple(task.id for task in answer.tasks)
            finally:
                self.under_way.discard(call)


@dataclass(frozen=True, slots=True)
class Hit:
    """What one kill hit."""

    unanswered_submits: int
    running_attempts: int


async def kill_once(system: Deployment, load: Load, chance: random.Random) -> Hit:
    """Kill the coordinator at a random moment at which submits are on their way and attempts run; start it again."""
    await chance_moment(chance, CALM_SECONDS_MAX)
    await eventually(system.runs.alive, "an attempt runs")
    load.burst.set()
    await chance_moment(chance, BURST_SECONDS_MAX)
    # The look at the processes takes its time, so the young call comes last.
    while not ((running := system.runs.alive()) and load.has_young_call()):
        await asyncio.sleep(0)
    hit = tuple(load.under_way)
    system.kill("coordinator")
    load.back.clear()
    load.burst.clear()
    system.start("coordinator")
    await eventually(lambda: all(call.answered is not None for call in hit), "the calls of before have ended")
    await system.serving("coordinator", "runner-local")
    load.back.set()
    return Hit(sum(not call.answered for call in hit), len(running))


async def note_ends(system: Deployment, ends: dict[str, set[int]], watching: asyncio.Event) -> None:
    """Note, over all breaks, at which changes each task was seen ended; a second change would be a second end."""
    async with system.coordinator() as client:
        async for changes in client.watch(patience=timedelta(minutes=2)):
            watching.set()
            for task in changes.tasks:
                if task.state.ended:
                    ends[task.id].add(task.change)


async def replay_all(system: Deployment, load: Load) -> int:
    """Send every key once more; return how many were answered with the very same tasks."""
    async with system.coordinator() as client:
        answers = {key: await client.submit(specs, idempotency_key=key) for key, specs in load.asked.items()}
    return sum(
        answer.replayed and tuple(task.id for task in answer.tasks) == load.acknowledged[key]
        for key, answer in answers.items()
    )


@pytest.mark.parametrize(
    "kills",
    [pytest.param(12), pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1200)])],
)
async def test_every_acknowledged_task_ends_exactly_once(tmp_path: Path, kills: int) -> None:
    seed = random.SystemRandom().getrandbits(32)
    chance = random.Random(seed)
    async with deployed(tmp_path) as system:
        system.agent("short", ":")
        system.agent("long", "sleep 0.5")
        await system.up("safety", "coordinator", "runner-local")
        load, ends = Load(system, chance), defaultdict[str, set[int]](set)
        async with system.coordinator() as client:
            first = (await client.submit([TaskSpec(agent="short")])).tasks[0].id
        watches = asyncio.Event()
        watching = asyncio.create_task(note_ends(system, ends, watches))
        await watches.wait()
        loading = asyncio.create_task(load.run())
        load.back.set()
        hits, missed = list[Hit](), 0
        while len(hits) < kills and missed <= kills:
            hit = await kill_once(system, load, chance)
            # Held up between the look and the kill, it comes when everything has been answered.
            if hit.unanswered_submits and hit.running_attempts:
                hits.append(hit)
            else:
                missed += 1
        load.stopping = True
        await loading
        ids = {first, *(task_id for task_ids in load.acknowledged.values() for task_id in task_ids)}
        async with system.coordinator() as client:
            counts = await ended(client, len(ids), within=120)
            await eventually(lambda: set(ends) | {first} >= ids, "the watch has seen every end")
            tasks = await tasks_of(client)
        same = await replay_all(system, load)
        async with system.coordinator() as client:
            after_replay = len(await tasks_of(client))
        watching.cancel()
        await system.stop("runner-local", "coordinator", "safety")
        faults = await system.faults_of_store()

    wanted = 1 + sum(map(len, load.asked.values()))
    attempts = Counter(run.task_id for run in system.runs.all())
    report = {
        "seed": seed,
        "kills": len(hits),
        "kills that hit nothing": missed,
        "unanswered submits hit, least and in all": (
            min(hit.unanswered_submits for hit in hits),
            sum(hit.unanswered_submits for hit in hits),
        ),
        "running attempts hit, least and in all": (
            min(hit.running_attempts for hit in hits),
            sum(hit.running_attempts for hit in hits),
        ),
        "keys": len(load.asked),
        "tasks": counts,
        "tasks that ran more than once": sum(number > 1 for number in attempts.values()),
        "faults of the database": list(faults),
    }
    print(report)
    assert len(hits) == kills, report
    assert set(load.acknowledged) == set(load.asked)
    assert len(ids) == wanted, "no task answers to two keys"
    assert set(tasks) == ids, "none is lost, and none is there that nobody was told of"
    assert counts == {TaskState.SUCCEEDED: wanted}, report
    assert all(len(changes) == 1 for changes in ends.values()), "none ended twice"
    assert set(attempts) == ids, "every one of them has run"
    assert (same, after_replay) == (len(load.asked), wanted), "a key known already makes no task"
    assert not faults
