"""Each declared service has one open task: started by itself, once, unless a person ended it or it is held."""

from dataclasses import replace
from datetime import timedelta

import pytest

from foundation.errors import Conflict, Unavailable
from services.coordinator.app.keep_services import KeepServices
from services.coordinator.app.selection import Selection
from services.coordinator.app.services import Services
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.attempt import ServiceNews
from services.coordinator.domain.explain import AgentFacts, explain
from services.coordinator.domain.failure import RetryRule, lose_service
from services.coordinator.domain.fleet import FleetView
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import Effects, Task, TaskState, start
from services.coordinator.ports import Store, TaskFilter
from services.coordinator.ports_safety import PersonalAlert
from tests.coordinator.desk import USER, Desk
from tests.coordinator.tasks import after, leased

pytestmark = pytest.mark.asyncio
WATCH = AgentSpec(name="watch", kind="service", script="/agents/watch.sh", effects="idempotent")
FIRST = TaskRequest(agent="watch")


class Kept:
    """A desk whose only service is `watch`, and its keeper."""

    def __init__(self, store: Store) -> None:
        self.desk = Desk(store)
        self.restarted: list[str] = []
        self.declare(changed_seconds=0)
        self.keeper = self.another()

    def another(self) -> KeepServices:
        """A keeper that remembers nothing, as after a restart or in a second coordinator."""
        desk = self.desk
        return KeepServices(
            desk.store, desk.catalogue, desk.submit, desk.cancel, lambda agent, _: self.restarted.append(agent)
        )

    def declare(self, *, changed_seconds: float, **changes: object) -> None:
        """Its files say this since then, counted from now."""
        at = self.desk.clock.now() + timedelta(seconds=changed_seconds)
        self.desk.catalogue.specs = {"watch": replace(WATCH, changed_at=at, **changes)}  # type: ignore[arg-type]

    async def tasks(self) -> list[Task]:
        """Every task of it, oldest first."""
        found = await self.desk.store.read(lambda tx: tx.page(TaskFilter(agent="watch"), before=None, limit=100))
        return list(reversed(found))

    async def look(self, keeper: KeepServices | None = None) -> int:
        """Have the keeper look; returns how many tasks there are then."""
        self.desk.clock.advance(timedelta(seconds=1))
        await (keeper or self.keeper).step()
        return len(await self.tasks())

    async def held(self) -> Task:
        """Its attempt has ended too often."""
        return await self.desk.end((await self.tasks())[-1], TaskState.FAILED)


@pytest.fixture
def kept(store: Store) -> Kept:
    return Kept(store)


async def test_it_is_started_once_whoever_looks(kept: Kept) -> None:
    assert [await kept.look(), await kept.look(), await kept.look(kept.another())] == [1, 1, 1]
    [task] = await kept.tasks()
    assert (task.agent, task.timeout, task.effects) == ("watch", None, Effects.IDEMPOTENT)


async def test_what_ran_under_its_name_before_it_was_a_service_keeps_it_from_nothing(kept: Kept) -> None:
    kept.declare(changed_seconds=0, kind="task")
    [task] = await kept.desk.add(FIRST)
    await kept.desk.cancel(Selection(ids=(task.id,)), "enough")
    assert await kept.look() == 1
    kept.declare(changed_seconds=0)
    assert await kept.look() == 2


async def test_ended_by_a_person_it_stays_ended_until_a_person_starts_it(kept: Kept) -> None:
    await kept.look()
    await kept.desk.cancel(Selection(ids=((await kept.tasks())[0].id,)), "enough")
    kept.declare(changed_seconds=5)
    assert [await kept.look(), await kept.look(kept.another())] == [1, 1]
    await kept.desk.add(FIRST)
    assert await kept.look() == 2
    await kept.held()
    kept.declare(changed_seconds=5)
    assert await kept.look() == 3, "it is wanted again, and held no more"


async def test_held_it_waits_for_a_change_of_its_files(kept: Kept) -> None:
    await kept.look()
    await kept.held()
    assert [await kept.look(), await kept.look(kept.another())] == [1, 1]
    kept.declare(changed_seconds=1)
    assert [await kept.look(), await kept.look(kept.another())] == [2, 2]


async def test_held_it_stays_held_when_retention_has_taken_its_last_task(kept: Kept) -> None:
    await kept.look()
    await kept.held()
    await kept.look()
    old = kept.desk.clock.now() + timedelta(days=1)
    await kept.desk.store.write(
        lambda tx: tx.prune(
            ended_before=old, decided_before=old, rows_max=9, bytes_max=1 << 40, keys_before=old, limit=9
        )
    )
    assert await kept.tasks() == [] and await kept.look() == 0


async def test_there_is_never_a_second_one(kept: Kept) -> None:
    await kept.look()
    [task] = await kept.tasks()
    with pytest.raises(Conflict) as refused:
        await kept.desk.add(FIRST)
    assert refused.value.code == "service_open" and task.id in refused.value.message
    held = await kept.held()
    await kept.desk.retry(Selection(ids=(held.id,)), "", USER)
    with pytest.raises(Conflict):
        await kept.desk.retry(Selection(ids=(held.id,)), "", USER)
    with pytest.raises(Conflict):
        await kept.desk.add(FIRST, FIRST)
    assert len(await kept.tasks()) == 2


async def test_a_changed_manifest_ends_the_attempt_and_a_changed_script_does_not(kept: Kept) -> None:
    await kept.look()
    kept.declare(changed_seconds=0)
    await kept.look()
    assert kept.restarted == []
    kept.declare(changed_seconds=0, memory_bytes=1 << 30)
    await kept.look()
    await kept.look()
    assert kept.restarted == ["watch"]


async def test_declared_no_more_it_is_ended_and_with_a_fault_it_is_not(kept: Kept) -> None:
    await kept.look()
    kept.declare(changed_seconds=0, script="", faults=("broken",))
    for _ in range(3):
        await kept.look()
    assert not (await kept.tasks())[0].ended
    kept.desk.catalogue.specs = {}
    await kept.look()
    assert not (await kept.tasks())[0].ended, "a file may be away for a moment"
    await kept.look()
    assert (await kept.tasks())[0].state is TaskState.CANCELLED
    kept.declare(changed_seconds=0)
    assert await kept.look() == 2


async def test_lost_runners_never_make_it_dead(kept: Kept) -> None:
    task = start(leased(agent="watch", effects=Effects.IDEMPOTENT), leased().fence, at=after(0))
    delays = []
    for _ in range(12):
        task = task._replace(state=TaskState.RUNNING, holder="one", not_before=None)
        task = lose_service(task, task.fence, RetryRule(), ran=timedelta(seconds=9), chance=1.0, now=after(10))
        delays.append((task.not_before or after(10)) - after(10))
    assert task.losses == 0 and not task.alone
    assert delays[0] == timedelta(0) and delays == sorted(delays) and delays[-1] == timedelta(minutes=10)
    task = task._replace(state=TaskState.RUNNING, holder="one", not_before=None)
    calm = lose_service(task, task.fence, RetryRule(), ran=timedelta(hours=2), chance=1.0, now=after(10))
    assert calm.state is TaskState.QUEUED and calm.deferrals == 1


class Bell:
    """Safety's alerts, which may be away."""

    def __init__(self) -> None:
        self.away = False
        self.told: list[tuple[str, str]] = []

    async def ring(self, alert: PersonalAlert) -> None:
        """Tell people."""
        self._say(alert.cause, alert.level)

    async def resolve(self, cause: str) -> None:
        """It is over."""
        self._say(cause, "")

    def _say(self, cause: str, level: str) -> None:
        if self.away:
            raise Unavailable("safety_away", "Safety does not answer.")
        self.told.append((cause, level))


def _news(task: Task, *, escalated: bool, waits: bool) -> ServiceNews:
    at = after(8) if waits else None
    return ServiceNews(
        task_id=task.id, fence=task.fence, restarts=2, next_start_at=at, last_end="exited with 1", escalated=escalated
    )


async def test_people_are_told_when_it_ends_again_and_again_and_when_that_is_over(kept: Kept) -> None:
    bell, task = Bell(), leased(agent="watch")._replace(state=TaskState.RUNNING)
    services = Services(kept.desk.catalogue, kept.desk.changes, bell)
    services.hear(task, _news(task, escalated=False, waits=True))
    await services.tell()
    assert bell.told == []
    bell.away = True
    services.hear(task, _news(task, escalated=True, waits=True))
    await services.tell()
    bell.away = False
    await services.tell()
    services.hear(task, _news(task, escalated=True, waits=False))
    services.hear(task, _news(task, escalated=False, waits=False))
    await services.tell()
    await services.tell()
    assert bell.told == [("service:watch", "warning"), ("service:watch", "")]


async def test_why_says_when_it_starts_again_and_how_it_ended() -> None:
    task = start(leased(agent="watch"), leased().fence, at=after(0))
    facts = AgentFacts(is_service=True, service=_news(task, escalated=False, waits=True))
    why = explain(task, FleetView(), facts, (), now=after(0))
    assert why.sentence == f"It waits 8 s before its 4th start on {task.holder}: it exited with 1."
    assert (why.code, why.until) == ("service_waits", after(8))
