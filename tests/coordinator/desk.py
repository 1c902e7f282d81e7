"""The coordinator's verbs on a store and a clock in hand; the test plays dispatch and safety."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from foundation.auth import Caller
from foundation.clock import ManualClock
from foundation.errors import NotFound, Unavailable
from foundation.ids import SystemIds
from services.coordinator.app.agents import Agents, Breakers
from services.coordinator.app.cancel import Cancel
from services.coordinator.app.changes import Changes
from services.coordinator.app.clear import Clear, UndoClear
from services.coordinator.app.decide import Decide
from services.coordinator.app.due import Due
from services.coordinator.app.explain import Explain
from services.coordinator.app.log import ReadLog
from services.coordinator.app.open_tasks import OpenTasksCap
from services.coordinator.app.queue import Queue
from services.coordinator.app.retry import Retry
from services.coordinator.app.services import Services
from services.coordinator.app.submit import Submit, SubmitRules, Submitted
from services.coordinator.app.timetable import Timetable
from services.coordinator.domain import task as moves
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.fleet import FleetView
from services.coordinator.domain.placement import Need
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.task import Measured, Task, TaskState
from services.coordinator.ports import Store
from services.coordinator.ports_safety import Admission, Candidate, OutboxEntry, Renewal
from tests.coordinator.alarm import FakeAlarm

USER = Caller(token_id="t1", name="user", scopes=frozenset({"read", "submit"}))
OTHER = Caller(token_id="t2", name="other", scopes=frozenset({"read", "submit"}))
KEYS_GOOD_FOR = timedelta(days=7)


@dataclass
class StubDispatch:
    """Shows the view it is given, yields the output it is given, remembers the pause."""

    view: FleetView = field(default_factory=FleetView)
    output: list[bytes] = field(default_factory=list)
    away: bool = False
    paused: str = ""
    followed: list[tuple[str, int, bool]] = field(default_factory=list)

    def fleet(self) -> FleetView:
        return replace(self.view, queue_paused=self.paused)

    async def follow(self, task: Task, offset: int, follow: bool) -> AsyncIterator[tuple[bytes, int]]:
        if self.away:
            raise Unavailable("runner_gone", "Its runner is away.")
        self.followed.append((task.id, offset, follow))
        at = 0
        for piece in self.output:
            at += len(piece)
            if at > offset:
                yield piece[max(0, offset - (at - len(piece))) :], at

    def need_of(self, task: Task) -> Need:
        return Need(task.labels)

    def set_queue_paused(self, reason: str) -> None:
        self.paused = reason


@dataclass
class StubGate:
    """Safety's breakers by hand."""

    open: dict[str, tuple[str, str, datetime | None]] = field(default_factory=dict)
    away: bool = False
    asked: int = 0

    async def admit(self, outcomes: Sequence[OutboxEntry], candidates: Sequence[Candidate]) -> Admission:
        raise AssertionError("no verb asks for admission")

    async def renew(self, attempts: Sequence[tuple[str, int]]) -> tuple[Sequence[Renewal], int]:
        raise AssertionError("no verb renews")

    async def breakers(self) -> Mapping[str, tuple[str, str, datetime | None]]:
        self.asked += 1
        if self.away:
            raise Unavailable("safety_away", "Safety does not answer.")
        return self.open


SPECS = (
    AgentSpec(name="build", script="/a/build.sh", effects="idempotent", retries=9, timeout=timedelta(minutes=7)),
    AgentSpec(name="hello", script="/a/hello.sh", effects="none"),
    AgentSpec(name="plain", script="/a/plain.sh", declared=False),
    AgentSpec(name="broken", faults=("timeout must be a duration.",)),
)


@dataclass
class StubCatalogue:
    """Four agents and one project."""

    specs: dict[str, AgentSpec] = field(default_factory=lambda: {spec.name: spec for spec in SPECS})

    def agents(self) -> Mapping[str, AgentSpec]:
        return self.specs

    def find(self, name: str) -> AgentSpec:
        if name == "short":
            return self.specs["build"]
        if name not in self.specs:
            raise NotFound("unknown_agent", f"There is no agent “{name}”.")
        return self.specs[name]

    def project_folder(self, name: str) -> str:
        if name != "HabitQuest":
            raise NotFound("unknown_project", f"There is no project “{name}”.")
        return "/projects/HabitQuest"

    def projects(self) -> Mapping[str, str]:
        return {"HabitQuest": "/projects/HabitQuest"}

    def repositories(self) -> Mapping[str, bool]:
        return {"HabitQuest": True}

    def project_faults(self) -> Sequence[str]:
        return ()

    def reload(self) -> None:
        raise AssertionError("nobody reloads here")


class Desk:
    """All verbs wired as in `wiring.py`, and what a test needs to move tasks along."""

    def __init__(self, store: Store, *, open_tasks_max: int = 1000, refuse: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.clock = ManualClock()
        self.ids = SystemIds(self.clock)
        self.catalogue = StubCatalogue()
        self.dispatch = StubDispatch()
        self.gate = StubGate()
        self.changes = Changes()
        self.announced: list[Task] = []
        self.changes.subscribe(self.announced.extend)
        cap = OpenTasksCap(open_tasks_max, refuse)
        rules = SubmitRules(timeout=timedelta(minutes=5), retries_max=3, keys_good_for=KEYS_GOOD_FOR)
        ids, clock, catalogue, changes = self.ids, self.clock, self.catalogue, self.changes
        self.submit = Submit(store, catalogue, changes, cap, rules, ids=ids, clock=clock)
        self.cancel = Cancel(store, changes, ids=ids, clock=clock)
        self.retry = Retry(store, catalogue, changes, cap, keys_good_for=KEYS_GOOD_FOR, ids=ids, clock=clock)
        self.decide = Decide(store, changes, clock=clock)
        self.clear = Clear(store, changes, ids=ids, clock=clock)
        self.undo = UndoClear(store, catalogue, changes, cap, ids=ids, clock=clock)
        self.queue = Queue(store, self.dispatch, open_max=1000, disk_free_bytes=lambda: 5, clock=clock)
        self.services = Services(catalogue, changes, FakeAlarm())
        self.explain = Explain(store, catalogue, self.dispatch, self.services, clock=clock)
        self.read_log = ReadLog(store, changes, self.dispatch)
        self.timetable = Timetable(catalogue, lambda: "UTC", clock=clock)
        self.agents = Agents(
            store, catalogue, self.dispatch, Breakers(self.gate, clock=clock), self.services, self.timetable
        )
        self.due = Due(store, changes, clock=clock)

    async def add(self, *requests: TaskRequest) -> list[Task]:
        """Submit and return the tasks."""
        submitted: Submitted = await self.submit(requests or (TaskRequest(agent="build"),), "", USER)
        self.clock.advance(timedelta(milliseconds=1))
        return list(submitted.tasks)

    async def task(self, task: Task | str) -> Task:
        """The task as it stands."""
        task_id = task if isinstance(task, str) else task.id
        found = await self.store.read(lambda tx: tx.task(task_id))
        assert found is not None
        return found

    async def move(self, before: Task, after: Task) -> Task:
        """Save one move and announce it, as dispatch does."""
        await self.store.write(lambda tx: tx.save([(before, after)]))
        self.changes.announce([after])
        return await self.task(after)

    async def lease(self, task: Task) -> Task:
        before = await self.task(task)
        return await self.move(before, moves.lease(before, "one"))

    async def run(self, task: Task) -> Task:
        """Lease and start it on runner one."""
        before = await self.lease(task)
        return await self.move(before, moves.start(before, before.fence, at=self.clock.now()))

    async def end(
        self, task: Task, state: TaskState = TaskState.SUCCEEDED, *, output: str = "", printed: int = 0
    ) -> Task:
        """Run it to an end. `printed`: bytes of its output, of which `output` is the last part."""
        before = await self.task(task)
        if before.state is not TaskState.RUNNING:
            before = await self.run(task)
        measured = Measured(
            exit_code=0 if state is TaskState.SUCCEEDED else 1, output_bytes=printed, output_cut=printed > 0
        )
        after = moves.end(before, state, reason="It ended.", measured=measured, now=self.clock.now())
        await self.store.write(lambda tx: tx.put_output(task.id, output))
        return await self.move(before, after)

    async def undecided(self, task: Task) -> Task:
        """Lose its attempt."""
        before = await self.run(task)
        lost = moves.await_decision(before, reason="Lost.", measured=Measured(), now=self.clock.now())
        return await self.move(before, lost)
