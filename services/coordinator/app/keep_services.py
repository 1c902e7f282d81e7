"""Sees to it that each declared service has exactly one open task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from foundation.auth import Caller
from foundation.errors import Conflict, QuantumError
from foundation.log import get_logger
from services.coordinator.app.cancel import Cancel
from services.coordinator.app.one_of_a_name import open_task_of
from services.coordinator.app.selection import Selection
from services.coordinator.app.submit import Submit
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.request import TaskRequest
from services.coordinator.domain.service import Standing, after_its_task, is_to_start, standing_of
from services.coordinator.domain.task import Task
from services.coordinator.ports import Catalogue, Store, StoreTransaction, TaskFilter

FACT = "service:"
GONE_LOOKS = 2
KEEPER = Caller(token_id="coordinator:services", name="coordinator", scopes=frozenset())

_log = get_logger("coordinator")


@dataclass(frozen=True, slots=True)
class _Found:
    """A service as the store has it: its open task, else the newest that has ended."""

    last: Task | None
    standing: Standing


class KeepServices:
    """Looks again and again; the store alone remembers, so that neither a restart nor a second keeper doubles one.

    `end_attempt(agent, reason)` has the present attempt ended, to be followed by the next.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        submit: Submit,
        cancel: Cancel,
        end_attempt: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._submit = submit
        self._cancel = cancel
        self._end_attempt = end_attempt
        self._manifests: dict[str, AgentSpec] = {}
        self._gone: dict[str, int] = {}

    async def step(self) -> None:
        """Start what is declared and does not run; end what is declared no more."""
        agents = self._catalogue.agents()
        services = {name: spec for name, spec in agents.items() if spec.is_service and spec.declared and spec.script}
        found = await self._store.read(lambda tx: {name: _find(tx, name) for name in services})
        standings = {name: after_its_task(one.standing, one.last) for name, one in found.items()}
        await self._remember({name: one for name, one in standings.items() if one != found[name].standing})
        for name, spec in services.items():
            last = found[name].last
            if last is not None and not last.ended:
                self._look_at_manifest(spec)
            elif is_to_start(standings[name], spec.changed_at):
                await self._start(spec, last)
        await self._end_undeclared(agents, services)

    async def _remember(self, standings: Mapping[str, Standing]) -> None:
        def write(tx: StoreTransaction) -> None:
            for name, standing in standings.items():
                tx.set_fact(FACT + name, standing.text())

        if standings:
            await self._store.write(write)

    async def _start(self, spec: AgentSpec, last: Task | None) -> None:
        request = TaskRequest(agent=spec.name)
        if last is not None and last.submitted_by != KEEPER.name:
            # A person has said how it is to run.
            request = TaskRequest(agent=spec.name, params=last.params.encode(), project=last.project)
        try:
            await self._submit([request], f"service:{spec.name}:{last.id if last else ''}", KEEPER)
        except Conflict:
            return  # a person, or another keeper, was quicker
        except QuantumError as error:
            said = f"Service {spec.name} cannot be started: {error.message}"
            _log.warning(said, action="service_not_started", agent=spec.name)
            return
        self._manifests[spec.name] = _manifest(spec)
        _log.info(f"Service {spec.name} is started.", action="service_started", agent=spec.name)

    def _look_at_manifest(self, spec: AgentSpec) -> None:
        """The limits and all that its present attempt was started with are those of its manifest then."""
        now = _manifest(spec)
        before = self._manifests.setdefault(spec.name, now)
        if now != before and spec.effects != "once":
            self._manifests[spec.name] = now
            self._end_attempt(spec.name, "Its manifest has changed; it starts again as that says now.")

    async def _end_undeclared(self, agents: Mapping[str, AgentSpec], services: Mapping[str, AgentSpec]) -> None:
        """A file may be away for a moment while it is replaced, and a manifest be half written: that ends nothing."""
        for name in [name for name in self._manifests if name not in services]:
            spec = agents.get(name)
            if spec is not None and spec.faults:
                continue
            self._gone[name] = self._gone.get(name, 0) + 1
            if self._gone[name] >= GONE_LOOKS:
                await self._end(name)
                del self._manifests[name], self._gone[name]
        for name in [name for name in self._gone if name in services]:
            del self._gone[name]

    async def _end(self, name: str) -> None:
        task = await self._store.read(lambda tx: open_task_of(tx, name))
        if task is not None:
            await self._cancel(Selection(ids=(task.id,)), "Its agent is declared as a service no more.")
        await self._store.write(lambda tx: tx.set_fact(FACT + name, None))


def _find(tx: StoreTransaction, name: str) -> _Found:
    task = open_task_of(tx, name)
    if task is None:
        newest = tx.page(TaskFilter(agent=name), before=None, limit=1)
        task = newest[0] if newest else None
    return _Found(task, standing_of(tx.fact(FACT + name)))


def _manifest(spec: AgentSpec) -> AgentSpec:
    """What of it matters to an attempt."""
    return replace(spec, changed_at=None, description="", aliases=(), notices=(), source="")
