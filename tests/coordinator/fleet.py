"""A coordinator's heart without its servers: dispatch, intake and renewal on a store in memory and a clock in hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from foundation.clock import ManualClock
from foundation.errors import NotFound, Unavailable
from foundation.ids import FixedRandomness
from foundation.stop_file import StopFile
from services.coordinator.adapters.memory import MemoryStore
from services.coordinator.app.attachments import Attachment, Attachments, Grant, Hello, LeaseTimes, Message
from services.coordinator.app.changes import Changes
from services.coordinator.app.dispatch import Dispatch
from services.coordinator.app.footprints import Footprints
from services.coordinator.app.holdings import Holdings
from services.coordinator.app.intake import Intake
from services.coordinator.app.outbox import Outbox
from services.coordinator.app.renewal import Renewal
from services.coordinator.app.services import Services
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.attempt import AttemptEvent, Ended, Started
from services.coordinator.domain.defaults import Defaults
from services.coordinator.domain.failure import AttemptEnd, EndCause, RetryRule
from services.coordinator.domain.task import NO_LABELS, Effects, Measured, Task, TaskState, first_fence
from services.coordinator.ports import Store
from services.coordinator.ports_safety import Admission, Candidate, OutboxEntry, Verdict
from services.coordinator.ports_safety import Renewal as Answer
from tests.coordinator.alarm import FakeAlarm

ADMITTED = Verdict(admitted=True)
SILENT_AFTER = timedelta(days=365)
"""Most tests move the clock and let no runner beat."""


@dataclass
class FakeGate:
    """Safety by hand: `verdicts` by agent, `away` to be out of reach. Keeps what it was told and asked."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    by_project: dict[str, Verdict] = field(default_factory=dict)
    away: bool = False
    epoch: int = 1
    retries_halved: frozenset[str] = frozenset()
    answer: Answer = field(default_factory=lambda: Answer(action="continue"))
    told: list[OutboxEntry] = field(default_factory=list)
    asked: list[Candidate] = field(default_factory=list)
    renewed: list[tuple[str, int]] = field(default_factory=list)

    async def admit(self, outcomes: Sequence[OutboxEntry], candidates: Sequence[Candidate]) -> Admission:
        self._reach()
        self.told += outcomes
        self.asked += candidates
        verdicts = tuple(
            self.by_project.get(candidate.project) or self.verdicts.get(candidate.agent, ADMITTED)
            for candidate in candidates
        )
        return Admission(verdicts=verdicts, mode="NORMAL", epoch=self.epoch, retries_halved=self.retries_halved)

    async def renew(self, attempts: Sequence[tuple[str, int]]) -> tuple[Sequence[Answer], int]:
        self._reach()
        self.renewed = list(attempts)
        return [self.answer for _ in attempts], self.epoch

    async def breakers(self) -> Mapping[str, tuple[str, str, datetime | None]]:
        return {}

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("safety_away", "Safety does not answer.")


@dataclass
class FakeCatalogue:
    """The agents a, b and c, all able to run."""

    specs: dict[str, AgentSpec] = field(
        default_factory=lambda: {name: AgentSpec(name=name, script=f"/agents/{name}.sh") for name in "abc"}
    )

    def agents(self) -> Mapping[str, AgentSpec]:
        return self.specs

    def find(self, name: str) -> AgentSpec:
        if name not in self.specs:
            raise NotFound("unknown_agent", f"There is no agent {name}.")
        return self.specs[name]

    def project_folder(self, name: str) -> str:
        return f"/projects/{name}"

    def projects(self) -> Mapping[str, str]:
        return {}

    def repositories(self) -> Mapping[str, bool]:
        return {}

    def project_faults(self) -> Sequence[str]:
        return ()

    def reload(self) -> None:
        raise AssertionError("nobody reloads here")


class Fleet:
    """The parts wired as in `wiring.py`; the test plays safety and the runners."""

    def __init__(self, folder: Path, store: Store | None = None, *, silent_after: timedelta = SILENT_AFTER) -> None:
        self.clock = ManualClock()
        self.gate = FakeGate()
        self.catalogue = FakeCatalogue()
        self.store: Store = store or MemoryStore()
        self.stop_file = StopFile(folder / "STOP")
        self.changes = Changes()
        self.attachments = Attachments()
        self.holdings = Holdings()
        rule = RetryRule()
        times = LeaseTimes(lease=timedelta(seconds=20), heartbeat=timedelta(seconds=5))
        self.outbox = Outbox()
        self.footprints = Footprints()
        self.alarm = FakeAlarm()
        self.services = Services(self.catalogue, self.changes, self.alarm)
        self.intake = Intake(
            self.store,
            self.changes,
            self.catalogue,
            rule,
            self.outbox,
            self.holdings,
            self.footprints,
            self.services,
            clock=self.clock,
            randomness=FixedRandomness(),
        )
        self.dispatch = Dispatch(
            self.store,
            self.gate,
            self.catalogue,
            self.changes,
            self.attachments,
            self.holdings,
            self.intake,
            self.outbox,
            self.footprints,
            self.stop_file,
            workspace_folder="/workspace",
            defaults=Defaults(timeout=timedelta(minutes=5), memory_bytes=1 << 31, grace=timedelta(seconds=10)),
            paused_max=10,
            silent_after=silent_after,
            clock=self.clock,
        )
        self.renewal = Renewal(
            self.store,
            self.gate,
            self.catalogue,
            self.changes,
            self.attachments,
            self.holdings,
            self.dispatch,
            self.outbox,
            rule,
            times,
            clock=self.clock,
            randomness=FixedRandomness(),
        )
        self._next = 0

    async def submit(
        self,
        agent: str,
        *,
        priority: int = 5,
        effects: Effects = Effects.IDEMPOTENT,
        retries: int = 0,
        depends_on: tuple[str, ...] = (),
        project: str = "",
        labels: Mapping[str, str] = NO_LABELS,
    ) -> Task:
        """Put a task straight into the store and announce it, as the verb does."""
        task = self.make(
            agent,
            priority=priority,
            effects=effects,
            retries=retries,
            depends_on=depends_on,
            project=project,
            labels=labels,
        )
        await self.store.write(lambda tx: tx.insert([task]))
        self.changes.announce([task])
        return task

    def make(
        self,
        agent: str,
        *,
        priority: int = 5,
        effects: Effects = Effects.IDEMPOTENT,
        retries: int = 0,
        depends_on: tuple[str, ...] = (),
        project: str = "",
        labels: Mapping[str, str] = NO_LABELS,
    ) -> Task:
        """A task that nobody knows of yet."""
        self._next += 1
        self.clock.advance(timedelta(milliseconds=1))
        now = self.clock.now()
        return Task(
            id=f"t{self._next:04}",
            agent=agent,
            state=TaskState.BLOCKED if depends_on else TaskState.QUEUED,
            created_at=now,
            ready_at=now,
            fence=first_fence(now),
            priority=priority,
            effects=effects,
            retries=retries,
            depends_on=depends_on,
            project=project,
            labels=labels,
        )

    async def runner(
        self,
        name: str = "one",
        *,
        capacity: int = 10,
        incarnation: str = "1",
        returning: bool = False,
        held: frozenset[tuple[str, int]] = frozenset(),
        slots: int = 0,
        labels: Mapping[str, str] = NO_LABELS,
        services_max: int = 0,
        checks_max: int = 0,
        memory_bytes: int = 0,
    ) -> Attachment:
        """Attach a runner; `slots` 0: as many as it can hold in all."""
        hello = Hello(
            name=name,
            host="here",
            incarnation=incarnation,
            slots=slots or capacity,
            labels=labels,
            version="0",
            held=held,
            services_max=services_max,
            checks_max=checks_max,
            memory_bytes=memory_bytes,
            returning=returning,
        )
        attachment, _ = await self.renewal.attach(hello)
        attachment.capacity, attachment.no_checks = capacity, False
        return attachment

    async def round(self) -> None:
        """Hold rounds until one changes nothing more."""
        for _ in range(20):
            self.dispatch._wake.clear()
            await self.dispatch._round()
            if not self.dispatch._wake.is_set():
                return
        raise AssertionError("dispatch does not come to rest")

    async def tell(self, attachment: Attachment, *events: AttemptEvent) -> None:
        """Let a runner report."""
        await self.intake._take([(attachment, event) for event in events])

    async def task(self, task: Task) -> Task:
        found = await self.store.read(lambda tx: tx.task(task.id))
        assert found is not None
        return found

    def now(self) -> datetime:
        return self.clock.now()


def sent(attachment: Attachment) -> list[Message]:
    """Everything that waits to be sent to a runner; taken."""
    messages, attachment._outgoing = attachment._outgoing, []
    return messages


def granted(messages: Sequence[object]) -> list[Task]:
    """The tasks of the leases among them."""
    return [message.task for message in messages if isinstance(message, Grant)]


def started(task: Task, at: datetime) -> Started:
    return Started(task.id, task.fence, at)


def ended(
    task: Task,
    at: datetime,
    *,
    code: int = 0,
    cause: EndCause = EndCause.EXIT,
    report: str = "",
    peak_bytes: int | None = None,
) -> Ended:
    measured = Measured(exit_code=code, duration=timedelta(seconds=1), memory_peak_bytes=peak_bytes)
    end = AttemptEnd(cause=cause, measured=measured)
    return Ended(
        task_id=task.id, fence=task.fence, end=end, started_at=at, finished_at=at, output_tail="out", report=report
    )
