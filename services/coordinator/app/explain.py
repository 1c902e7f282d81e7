"""Says why a task is where it is."""

from foundation.clock import Clock
from foundation.errors import QuantumError
from services.coordinator.app.dispatching import Dispatching
from services.coordinator.app.services import Services
from services.coordinator.app.tasks import require_task
from services.coordinator.domain.explain import AgentFacts, Explanation, explain
from services.coordinator.domain.task import Task
from services.coordinator.ports import Catalogue, Store


class Explain:
    """Reads the task, asks dispatch for what it decides by, and lets the domain answer."""

    def __init__(
        self, store: Store, catalogue: Catalogue, dispatch: Dispatching, services: Services, *, clock: Clock
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._dispatch = dispatch
        self._services = services
        self._clock = clock

    async def __call__(self, task_id: str) -> tuple[Task, Explanation]:
        """Raises NotFound."""
        task, waits_for = await self._store.read(lambda tx: (require_task(tx, task_id), tx.unmet_parents(task_id)))
        facts = self._facts(task)
        return task, explain(task, self._dispatch.fleet(), facts, waits_for, now=self._clock.now())

    def _facts(self, task: Task) -> AgentFacts:
        try:
            spec = self._catalogue.find(task.agent)
            if task.project:
                self._catalogue.project_folder(task.project)
        except QuantumError as error:
            return AgentFacts(missing=error.message)
        if spec.faults or not spec.script:
            said = " ".join(spec.faults) or "It has no script."
            return AgentFacts(missing=f"Agent “{spec.name}” cannot be run: {said}")
        return AgentFacts(
            concurrency_max=spec.concurrency_max,
            need=self._dispatch.need_of(task),
            is_service=spec.is_service,
            service=self._services.status(task.id),
        )
