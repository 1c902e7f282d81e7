"""The agents as people see them: what each is, what it does now, and how it has fared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from foundation.clock import Clock
from foundation.errors import QuantumError
from services.coordinator.app.dispatching import Dispatching
from services.coordinator.app.services import Services
from services.coordinator.app.timetable import Timetable
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.attempt import ServiceNews
from services.coordinator.domain.fleet import FleetView, Parked
from services.coordinator.domain.prediction import predicted_failure, success_rate
from services.coordinator.domain.task import OPEN, Task, TaskState
from services.coordinator.ports import AgentHistory, Catalogue, Store, StoreTransaction
from services.coordinator.ports_safety import SafetyGate

CURRENT_MAX = 100
LAST_LINES_MAX = 4096
HELD_STATES = (TaskState.FAILED, TaskState.DEAD)
BREAKERS_FRESH = timedelta(seconds=1)

Counts = Mapping[tuple[str, TaskState], int]
Breaker = tuple[str, str, datetime | None]


class AgentState(StrEnum):
    """What an agent is doing, in the order of what counts most."""

    INVALID = "invalid"
    RUNNING = "running"
    PAUSED = "paused"
    HELD = "held"
    UNDECLARED = "undeclared"
    IDLE = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """One agent. Rates are None when unknown; `breaker` is "" when safety could not be asked."""

    spec: AgentSpec
    state: AgentState
    current_tasks: Sequence[str]
    queued: int
    last_task: Task | None
    success_rate: float | None
    predicted_failure: float | None
    breaker: str
    held_reason: str
    held_until: datetime | None
    restarts: int
    service: ServiceNews | None = None
    """How a service fares that runs, and how one has ended that is held; None: it has not ended, or is none."""
    next_run_at: datetime | None = None
    """When its schedule starts it next; None: none does."""


class Breakers:
    """Safety's breakers, asked at most once a second; None while safety cannot be asked."""

    def __init__(self, gate: SafetyGate, *, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock
        self._known: Mapping[str, Breaker] | None = None
        self._good_until = float("-inf")

    async def now(self) -> Mapping[str, Breaker] | None:
        """Per scope that is not closed: state, reason, until."""
        boottime = self._clock.boottime()
        if boottime >= self._good_until:
            self._known = await self._ask()
            self._good_until = boottime + BREAKERS_FRESH.total_seconds()
        return self._known

    async def _ask(self) -> Mapping[str, Breaker] | None:
        try:
            return await self._gate.breakers()
        except QuantumError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """All that is known at one moment."""

    fleet: FleetView
    breakers: Mapping[str, Breaker] | None
    counts: Counts = field(default_factory=dict)
    histories: Mapping[str, AgentHistory] = field(default_factory=dict)
    last_tasks: Mapping[str, Task] = field(default_factory=dict)
    last_lines: Mapping[str, str] = field(default_factory=dict)
    """Of the services that have ended, by task."""
    news: Callable[[str], ServiceNews | None] = lambda _: None
    """Of a task that runs a service."""
    next_runs: Mapping[str, datetime] = field(default_factory=dict)
    """By agent, when its schedule starts it next."""


class Agents:
    """Lists agents and projects."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        dispatch: Dispatching,
        breakers: Breakers,
        services: Services,
        timetable: Timetable,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._dispatch = dispatch
        self._breakers = breakers
        self._services = services
        self._timetable = timetable

    async def list(self) -> Sequence[AgentView]:
        """Every agent by name, also those that cannot be run."""
        picture = await self._picture()
        return [view_of(spec, picture) for _, spec in sorted(self._catalogue.agents().items())]

    async def get(self, name: str) -> AgentView:
        """One agent, by name or alias. Raises NotFound with the nearest name."""
        spec = self._catalogue.find(name)
        return view_of(spec, await self._picture())

    async def reload(self) -> Sequence[AgentView]:
        """Read the files again now."""
        self._catalogue.reload()
        return await self.list()

    async def _picture(self) -> _Picture:
        breakers = await self._breakers.now()
        specs = self._catalogue.agents()
        services = frozenset(name for name, spec in specs.items() if spec.is_service)
        (counts, histories, last, lines), schedules = await self._store.read(
            lambda tx: (_facts(tx, services), tx.schedules())
        )
        return _Picture(
            fleet=self._dispatch.fleet(),
            breakers=breakers,
            counts=counts,
            histories=histories,
            last_tasks=last,
            last_lines=lines,
            news=self._services.status,
            next_runs=self._timetable.next_runs(schedules),
        )


def _facts(
    tx: StoreTransaction, services: frozenset[str]
) -> tuple[Counts, Mapping[str, AgentHistory], Mapping[str, Task], Mapping[str, str]]:
    histories = tx.histories()
    last = tx.tasks([history.last_task_id for history in histories.values() if history.last_task_id])
    lines = {
        task.id: tx.output(task.id)[-LAST_LINES_MAX:]
        for task in last.values()
        if task.agent in services and task.state in HELD_STATES
    }
    return tx.counts(), histories, last, lines


def view_of(spec: AgentSpec, picture: _Picture) -> AgentView:
    """Put together what is known of one agent."""
    history = picture.histories.get(spec.name, AgentHistory(agent=spec.name))
    last = picture.last_tasks.get(history.last_task_id)
    ended = _held_service(spec, last, picture)
    held = ended or _held(spec, picture)
    current = picture.fleet.held_tasks.get(spec.name, ())
    service = _service(spec, current, last, picture)
    return AgentView(
        spec=spec,
        state=_state(spec, picture.counts, bool(current), held is not None),
        current_tasks=current[:CURRENT_MAX],
        queued=picture.counts.get((spec.name, TaskState.QUEUED), 0),
        last_task=last,
        success_rate=success_rate(history.ends),
        predicted_failure=predicted_failure(history.ends),
        breaker=_breaker(spec, picture.breakers),
        held_reason=held.reason if held else "",
        held_until=held.until if held else None,
        restarts=picture.fleet.restarts.get(spec.name, 0) + (service.restarts if service else 0),
        service=service,
        next_run_at=picture.next_runs.get(spec.name),
    )


def _service(spec: AgentSpec, current: Sequence[str], last: Task | None, picture: _Picture) -> ServiceNews | None:
    """What is told of a service: by its runner while it runs, by its last task once it is held."""
    if not spec.is_service:
        return None
    if current:
        return picture.news(current[0])
    if last is None or _held_service(spec, last, picture) is None:
        return None
    lines = picture.last_lines.get(last.id, "")
    return ServiceNews(task_id=last.id, fence=last.fence, restarts=0, last_end=last.reason, last_lines=lines)


def _held_service(spec: AgentSpec, last: Task | None, picture: _Picture) -> Parked | None:
    """Why a service is not started again by itself: its last task says it, as long as no other is open."""
    if not spec.is_service or last is None or last.state not in HELD_STATES:
        return None
    if any(picture.counts.get((spec.name, state), 0) for state in OPEN):
        return None
    return Parked(scope=f"agent:{spec.name}", code="service", reason=last.reason, until=None)


def _state(spec: AgentSpec, counts: Counts, has_tasks: bool, held: bool) -> AgentState:
    if spec.faults:
        return AgentState.INVALID
    if counts.get((spec.name, TaskState.RUNNING), 0):
        return AgentState.RUNNING
    if counts.get((spec.name, TaskState.PAUSED), 0):
        return AgentState.PAUSED
    if has_tasks:
        return AgentState.RUNNING
    if held:
        return AgentState.HELD
    return AgentState.IDLE if spec.declared else AgentState.UNDECLARED


def _breaker(spec: AgentSpec, breakers: Mapping[str, Breaker] | None) -> str:
    if breakers is None:
        return ""
    found = breakers.get(f"agent:{spec.name}")
    return found[0] if found else "closed"


def _held(spec: AgentSpec, picture: _Picture) -> Parked | None:
    """What safety refuses it for: everything, the agent itself, or something that it uses."""
    if picture.fleet.stopped is not None:
        return picture.fleet.stopped
    parked = picture.fleet.parked.get(spec.name)
    if parked is not None:
        return parked
    for scope in (f"agent:{spec.name}", *spec.uses):
        state, reason, until = (picture.breakers or {}).get(scope, ("closed", "", None))
        if state in ("open", "forced_open"):
            return Parked(scope=scope, code="breaker", reason=reason, until=until)
    return None
