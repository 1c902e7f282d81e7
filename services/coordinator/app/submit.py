"""Accepts one or many tasks in one durable commit: all of them or none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from foundation.auth import Caller
from foundation.clock import Clock
from foundation.errors import FieldFault, Invalid, NotFound, QuantumError
from foundation.ids import Ids
from services.coordinator.app.changes import Changes, Foretold
from services.coordinator.app.keys import RequestKey, key_of
from services.coordinator.app.merges_task import refuse_by_hand
from services.coordinator.app.one_of_a_name import refuse_second
from services.coordinator.app.open_tasks import OpenTasksCap
from services.coordinator.app.to_the_end import undisturbed
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.copying import DEAD_ENDS
from services.coordinator.domain.dependencies import check_dependencies, index_refs, is_batch_ref
from services.coordinator.domain.request import (
    PRIORITY_DEFAULT,
    TASKS_MAX,
    TaskRequest,
    check_bounds,
    digest_of,
    read_params,
)
from services.coordinator.domain.task import Effects, Task, TaskState, accept, first_fence
from services.coordinator.ports import Catalogue, Store, StoreTransaction

FAULTS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The tasks in the order of the request.

    `position` is that of the change that added the last of them; None when the key was known and nothing was added.
    """

    tasks: Sequence[Task]
    position: int | None

    @property
    def replayed(self) -> bool:
        """They were accepted earlier."""
        return self.position is None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRules:
    """Defaults and ceilings for what a manifest or a caller leaves open."""

    timeout: timedelta
    retries_max: int
    keys_good_for: timedelta


Beside = Callable[[StoreTransaction, Sequence[Task]], None]
"""What else is written in the transaction that adds tasks, or finds those of a known key; what it raises undoes all."""


class Submit:
    """Checks everything that can be checked outside the transaction first, and reports all faults at once."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        changes: Changes,
        cap: OpenTasksCap,
        rules: SubmitRules,
        *,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._changes = changes
        self._cap = cap
        self._rules = rules
        self._ids = ids
        self._clock = clock

    async def __call__(
        self, requests: Sequence[TaskRequest], key: str, caller: Caller, *, beside: Beside | None = None
    ) -> Submitted:
        """Return the accepted tasks once they are durable, and with them what `beside` has written.

        Raises Invalid or NotFound with every fault as `tasks[3].params`, Conflict for a key that stood for another
        payload, Exhausted for a full queue. Nothing is added then.
        """
        now = self._clock.now()
        request_key = self._key(requests, key, caller)
        try:
            tasks = self._prepare(requests, caller, now)
        except QuantumError:
            # What was accepted once stays accepted, whatever has become of its agent since.
            replayed = await self._replay(request_key, now)
            if replayed is None:
                raise
            return replayed
        return await undisturbed(self._accept(tasks, request_key, now, beside))

    async def _accept(
        self, tasks: Sequence[Task], key: RequestKey | None, now: datetime, beside: Beside | None
    ) -> Submitted:
        def work(tx: StoreTransaction) -> Submitted:
            submitted = self._add(tx, foretold, key, now)
            if beside is not None:
                beside(tx, submitted.tasks)
            return submitted

        with self._changes.foretold(tasks) as foretold:
            submitted = await self._store.write(work)
            if not submitted.replayed:
                foretold.announce(submitted.tasks)
        return submitted

    def _key(self, requests: Sequence[TaskRequest], key: str, caller: Caller) -> RequestKey | None:
        if not key:
            return None
        return key_of(key, caller, digest_of(requests), self._rules.keys_good_for)

    async def _replay(self, key: RequestKey | None, now: datetime) -> Submitted | None:
        if key is None:
            return None
        known = await self._store.read(lambda tx: key.replay(tx, now=now))
        return None if known is None else Submitted(tasks=known, position=None)

    # -- outside the transaction

    def _prepare(self, requests: Sequence[TaskRequest], caller: Caller, now: datetime) -> list[Task]:
        if not 1 <= len(requests) <= TASKS_MAX:
            said = f"A call submits 1 to {TASKS_MAX} tasks, not {len(requests)}."
            raise Invalid("bad_request", said, fields=(FieldFault("tasks", said),))
        faults: list[FieldFault] = []
        refs = index_refs([request.ref for request in requests], faults)
        check_dependencies([request.depends_on for request in requests], refs, faults)
        tasks = self._build_all(requests, caller, now, faults)
        return _bind_refs(tasks, refs) if any(request.depends_on for request in requests) else tasks

    def _build_all(
        self, requests: Sequence[TaskRequest], caller: Caller, now: datetime, faults: list[FieldFault]
    ) -> list[Task]:
        """The tasks in order, each distinct run of requests built once. Raises for every fault, also those given."""
        catalogue = _Lookup(self._catalogue)
        tasks: list[Task] = []
        last: TaskRequest | None = None
        built: Task | None = None
        for index, (request, id_) in enumerate(zip(requests, self._ids.many(len(requests)), strict=True)):
            if built is None or request is not last:
                built, last = self._build(request, index, catalogue, caller, now, faults), request
            if built is not None:
                tasks.append(Task._make((id_, *built[1:])))
        if faults or catalogue.missing:
            raise _refusal(faults, catalogue)
        return tasks

    def _build(
        self,
        request: TaskRequest,
        index: int,
        catalogue: "_Lookup",
        caller: Caller,
        now: datetime,
        faults: list[FieldFault],
    ) -> Task | None:
        """The task of a request, still without its id; None with the faults that forbid it added."""
        rules = self._rules
        spec = catalogue.agent(request.agent, index)
        if request.project:
            catalogue.project(request.project, index)
        check_bounds(request, index, retries_max=rules.retries_max, faults=faults)
        try:
            params = read_params(request.params)
        except ValueError as error:
            faults.append(FieldFault(f"tasks[{index}].params", f"The params {error}"))
            return None
        if spec is None:
            return None
        task = Task(
            id="",
            agent=spec.name,
            state=TaskState.QUEUED,
            created_at=now,
            ready_at=now,
            fence=first_fence(now),
            project=request.project,
            params=params,
            priority=PRIORITY_DEFAULT if request.priority is None else request.priority,
            not_before=request.not_before,
            depends_on=request.depends_on,
            effects=Effects(spec.effects),
            retries=min(spec.retries, rules.retries_max) if request.retries is None else request.retries,
            timeout=request.timeout or spec.timeout or (None if spec.is_service else rules.timeout),
            submitted_by=caller.name,
            labels=request.labels,
        )
        return accept(task, unmet_parents=False, now=now)

    # -- inside it

    def _add(self, tx: StoreTransaction, foretold: Foretold, key: RequestKey | None, now: datetime) -> Submitted:
        tasks = foretold.tasks
        known = None if key is None else key.replay(tx, now=now)
        if known is not None:
            return Submitted(tasks=known, position=None)
        self._cap.claim(tx, len(tasks))
        refuse_second(tx, self._catalogue, tasks)
        placed = _place(tx, tasks, now) if any(task.depends_on for task in tasks) else tasks
        tx.insert(placed)
        if key is not None:
            key.remember(tx, placed, now=now)
        foretold.read_along(tx)
        return Submitted(tasks=placed, position=tx.position())


def _bind_refs(tasks: Sequence[Task], refs: Mapping[str, int]) -> list[Task]:
    """Replace each `#ref` by the id that its task has got, and drop what is named twice."""

    def bound(name: str) -> str:
        return tasks[refs[name[1:]]].id if is_batch_ref(name) else name

    return [
        task._replace(depends_on=tuple(dict.fromkeys(map(bound, task.depends_on)))) if task.depends_on else task
        for task in tasks
    ]


def _place(tx: StoreTransaction, tasks: Sequence[Task], now: datetime) -> list[Task]:
    """Block what waits for others. Raises for parents that do not exist or can no longer succeed."""
    own = {task.id for task in tasks}
    parents = tx.tasks(list({parent for task in tasks for parent in task.depends_on} - own))
    faults = [fault for index, task in enumerate(tasks) for fault in _parent_faults(task, index, own, parents)]
    if faults:
        raise _faulty(faults)
    return [accept(task, unmet_parents=_waits(task, own, parents), now=now) for task in tasks]


def _waits(task: Task, own: set[str], parents: Mapping[str, Task]) -> bool:
    return any(parent in own or parents[parent].state is not TaskState.SUCCEEDED for parent in task.depends_on)


def _parent_faults(task: Task, index: int, own: set[str], parents: Mapping[str, Task]) -> Sequence[FieldFault]:
    faults = []
    for place, name in enumerate(task.depends_on):
        if name in own:
            continue
        path = f"tasks[{index}].depends_on[{place}]"
        parent = parents.get(name)
        if parent is None:
            faults.append(FieldFault(path, f"There is no task “{name[:80]}”."))
        elif parent.state in DEAD_ENDS:
            said = f"Task {name} ({parent.agent}) is {parent.state}: what depends on it could never run."
            faults.append(FieldFault(path, said))
    return faults


class _Lookup:
    """Asks the catalogue once per name in a call, and keeps what it did not find as faults."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._agents: dict[str, AgentSpec | QuantumError] = {}
        self._projects: dict[str, QuantumError | None] = {}
        self.missing: list[tuple[FieldFault, QuantumError]] = []

    def agent(self, name: str, index: int) -> AgentSpec | None:
        found = self._agents.get(name)
        if found is None:
            found = self._agents[name] = self._find(name)
        if isinstance(found, QuantumError):
            self.missing.append((FieldFault(f"tasks[{index}].agent", found.message), found))
            return None
        return found

    def project(self, name: str, index: int) -> None:
        if name not in self._projects:
            try:
                self._catalogue.project_folder(name)
            except QuantumError as error:
                self._projects[name] = error
            else:
                self._projects[name] = None
        error_found = self._projects[name]
        if error_found is not None:
            self.missing.append((FieldFault(f"tasks[{index}].project", error_found.message), error_found))

    def _find(self, name: str) -> AgentSpec | QuantumError:
        try:
            spec = self._catalogue.find(name)
            refuse_by_hand(spec)
        except QuantumError as error:
            return error
        if spec.faults:
            return Invalid(
                "agent_invalid",
                f"Agent “{spec.name}” cannot be run, its manifest ({spec.source}) has faults: {' '.join(spec.faults)}",
                remedy="Correct the manifest and submit again; `quantum agents` shows whether it is read.",
            )
        return spec


def _refusal(faults: Sequence[FieldFault], catalogue: _Lookup) -> QuantumError:
    """One error for all faults: it is NotFound only when nothing else is wrong."""
    all_faults = sorted([*faults, *(fault for fault, _ in catalogue.missing)], key=_place_in_call)
    errors = [error for _, error in catalogue.missing]
    if not faults and all(isinstance(error, NotFound) for error in errors):
        first = errors[0]
        said = first.message if len(errors) == 1 else f"{len(errors)} names are not known. {first.message}"
        return NotFound(first.code, said, remedy=first.remedy, fields=all_faults[:FAULTS_MAX])
    if len(all_faults) == 1 and errors:
        first = errors[0]
        return Invalid(first.code, first.message, remedy=first.remedy, fields=all_faults)
    return _faulty(all_faults)


def _place_in_call(fault: FieldFault) -> int:
    """The index of the task that a fault is about: `tasks[3].params` → 3."""
    return int(fault.path[len("tasks[") : fault.path.index("]")])


def _faulty(faults: Sequence[FieldFault]) -> Invalid:
    if len(faults) == 1:
        return Invalid("bad_task", faults[0].message, fields=faults)
    said = f"{len(faults)} things are wrong with these tasks; none was accepted."
    return Invalid("bad_tasks", said, fields=faults[:FAULTS_MAX])
