"""The leases that are out, in memory: who holds what, since when it was renewed, and what it was told."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.coordinator.domain.fleet import Parked
from services.coordinator.domain.task import Task, TaskState


@dataclass(slots=True, eq=False, kw_only=True)
class Held:
    """One lease. Times are seconds of the clock that counts sleep."""

    task_id: str
    fence: int
    agent: str
    runner: str
    incarnation: str
    renewed_at: float
    granted_until: float
    spawned: bool = False
    unbegun: bool = False
    """Its runner has said that it has not begun; else one that is not known to be spawned may be all the same."""
    paused: bool = False
    paused_since: float | None = None
    pause: Parked | None = None
    """Why it is, or is about to be, frozen, as safety last said; None when it may go on."""
    cancel_reason: str | None = None
    recalled: str = ""
    """Why its runner was told to hand it back unstarted, or to end it where it is a service; "": it was not."""
    waits: str = ""
    """Why its runner has not begun it, as the rest of a sentence, by its last heartbeat; "": it is about to."""
    ending: bool = False
    service: bool = False
    check: bool = False
    """A merge check."""
    footprint_bytes: int = 0
    """What it was expected to take when it was leased."""
    seen_spawned_at: float | None = None
    grown: bool = False
    """It has run for so long that the machine's free memory is without its share already."""


@dataclass(slots=True)
class Load:
    """What one runner holds. Tasks by their footprints: `young` those that may not have taken their memory yet."""

    tasks: int = 0
    unspawned: int = 0
    paused: int = 0
    services: int = 0
    checks: int = 0
    beside_bytes: int = 0
    """Of services and checks."""
    beside_young_bytes: int = 0
    grown: dict[int, int] = field(default_factory=dict)
    young: dict[int, int] = field(default_factory=dict)

    def count(self, held: Held, by: int) -> None:
        """Count one in (1) or out (-1)."""
        if held.service or held.check:
            self.services += by if held.service else 0
            self.checks += by if held.check else 0
            self.beside_bytes += by * held.footprint_bytes
            self.beside_young_bytes += 0 if held.grown else by * held.footprint_bytes
            return
        self.tasks += by
        self.unspawned += 0 if held.spawned else by
        self.paused += by if held.paused else 0
        sizes = self.grown if held.grown else self.young
        left = sizes.get(held.footprint_bytes, 0) + by
        if left:
            sizes[held.footprint_bytes] = left
        else:
            del sizes[held.footprint_bytes]


NO_LOAD = Load()


def held_of(
    task: Task,
    incarnation: str,
    *,
    boottime: float,
    granted_until: float,
    service: bool = False,
    check: bool = False,
    footprint_bytes: int = 0,
) -> Held:
    """A leased task's entry. An incarnation of "" is not known yet."""
    return Held(
        task_id=task.id,
        fence=task.fence,
        agent=task.agent,
        runner=task.holder,
        incarnation=incarnation,
        renewed_at=boottime,
        granted_until=granted_until,
        spawned=task.state is not TaskState.QUEUED,
        paused=task.state is TaskState.PAUSED,
        cancel_reason=task.reason if task.cancel_requested else None,
        service=service,
        check=check,
        footprint_bytes=footprint_bytes,
    )


@dataclass(slots=True)
class Holdings:
    """All leases by task. The store has the truth; this is what a decision needs without asking it."""

    _held: dict[str, Held] = field(default_factory=dict)
    _by_agent: Counter[str] = field(default_factory=Counter)
    _loads: dict[str, Load] = field(default_factory=dict)
    _going_on: int = 0

    def add(self, held: Held) -> None:
        self.remove(held.task_id)
        self._held[held.task_id] = held
        self._count(held, 1)

    def remove(self, task_id: str) -> None:
        held = self._held.pop(task_id, None)
        if held is not None:
            self._count(held, -1)

    def end(self, task_id: str, fence: int, runner: str) -> None:
        """Its runner has reported the end, which is about to be recorded: it takes no room there any more."""
        held = self.get(task_id, fence)
        if held is not None and held.runner == runner:
            self._count(held, -1)
            held.ending = True
            self._count(held, 1)

    def _count(self, held: Held, by: int) -> None:
        self._by_agent[held.agent] += by
        if not held.ending:
            self._going_on += by
            load = self._loads.get(held.runner)
            if load is None:
                load = self._loads[held.runner] = Load()
            load.count(held, by)

    def get(self, task_id: str, fence: int) -> Held | None:
        """The lease under exactly this fence, if it is out."""
        held = self._held.get(task_id)
        return held if held is not None and held.fence == fence else None

    def follow_store(self, task: Task) -> None:
        """A commit has changed a task: adopt what it says of the lease."""
        held = self._held.get(task.id)
        if held is None:
            return
        if not task.leased or task.fence != held.fence:
            self.remove(task.id)
            return
        self._count(held, -1)
        held.spawned = task.state in (TaskState.RUNNING, TaskState.PAUSED)
        held.paused = task.state is TaskState.PAUSED
        self._count(held, 1)
        held.cancel_reason = task.reason if task.cancel_requested else None

    @property
    def going_on(self) -> bool:
        """Whether any end is still to be reported."""
        return self._going_on > 0

    def all(self) -> Sequence[Held]:
        return tuple(self._held.values())

    def of_runner(self, runner: str) -> Sequence[Held]:
        return [held for held in self._held.values() if held.runner == runner]

    def count_of_agent(self, agent: str) -> int:
        return self._by_agent[agent]

    def load_of(self, runner: str) -> Load:
        """What a runner has at hand or runs; not to be changed."""
        return self._loads.get(runner, NO_LOAD)

    def grow(self, boottime: float, after_seconds: float) -> None:
        """What has run for so long has taken its memory; called every tick."""
        for held in self._held.values():
            if held.spawned and not held.grown and not held.ending:
                held.seen_spawned_at = boottime if held.seen_spawned_at is None else held.seen_spawned_at
                if boottime - held.seen_spawned_at >= after_seconds:
                    self._count(held, -1)
                    held.grown = True
                    self._count(held, 1)

    def unspawned(self) -> Iterable[Held]:
        return [held for held in self._held.values() if not held.spawned]
