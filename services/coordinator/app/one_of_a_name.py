"""Never two of one service: whoever adds tasks asks here first, in the transaction that adds them."""

from collections import Counter
from collections.abc import Sequence

from foundation.errors import Conflict
from services.coordinator.domain.task import OPEN, Task
from services.coordinator.ports import Catalogue, StoreTransaction, TaskFilter


def open_task_of(tx: StoreTransaction, agent: str) -> Task | None:
    """An open task of an agent, if there is one."""
    found = tx.matching(TaskFilter(states=OPEN, agent=agent), after_id="", limit=1)
    return found[0] if found else None


def refuse_second(tx: StoreTransaction, catalogue: Catalogue, tasks: Sequence[Task]) -> None:
    """Raises Conflict, code `service_open`, when one of these would be the second open task of a service."""
    specs = catalogue.agents()
    for agent, count in Counter([task.agent for task in tasks if not task.ended]).items():
        spec = specs.get(agent)
        if spec is None or not spec.is_service:
            continue
        if count > 1:
            said = f"“{agent}” is a service and runs once, not {count} times; nothing was accepted."
            raise Conflict("service_open", said)
        present = open_task_of(tx, agent)
        if present is not None:
            raise Conflict(
                "service_open",
                f"“{agent}” is a service, and its task {present.id} is {present.state} already; nothing was accepted.",
                remedy=f"`quantum why {present.id}` says how it is; `quantum cancel {present.id}` ends it.",
            )
