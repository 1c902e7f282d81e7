"""Leases: which runner has room for them, and the transaction that makes them durable."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial

from services.coordinator.app.attachments import Attachment, Attachments
from services.coordinator.app.holdings import Holdings
from services.coordinator.domain.task import Task
from services.coordinator.ports import Candidate, Store, StoreTransaction

Reports = Mapping[tuple[str, str], str]
"""Reports as JSON, by agent and project."""


class Rooms:
    """How many more leases each attached runner may have now."""

    def __init__(self, attachments: Attachments, holdings: Holdings) -> None:
        self._attachments = attachments
        self._holdings = holdings

    def total(self) -> int:
        """Over all runners."""
        return sum(self._of(attachment) for attachment in self._attachments.all())

    def assign(self, tasks: Sequence[Task]) -> tuple[list[tuple[Task, str]], list[Task]]:
        """Spread tasks over the runners, each time to the one with most room; return what is left over, too."""
        rooms = {attachment.hello.name: self._of(attachment) for attachment in self._attachments.all()}
        assigned, rest = [], []
        for task in tasks:
            name = max(rooms, key=rooms.__getitem__, default="")
            if not name or rooms[name] <= 0:
                rest.append(task)
                continue
            rooms[name] -= 1
            assigned.append((task, name))
        return assigned, rest

    def _of(self, attachment: Attachment) -> int:
        """None while half of what a runner keeps at hand is still there, so that leases go out in batches and it
        never starves: its news of starts and ends are milliseconds old."""
        name, slots = attachment.hello.name, attachment.hello.slots
        enough = max(slots, attachment.capacity - slots) / 2
        if attachment.draining or attachment.closed or self._holdings.count_unspawned(name) >= enough:
            return 0
        return max(0, attachment.capacity - self._holdings.count_of_runner(name))


def candidate_of(task: Task, uses: tuple[str, ...]) -> Candidate:
    """A ready task as safety is asked about it; what it retries, or whose child it is, spends under the same cap."""
    return Candidate(
        task_id=task.id,
        fence=task.fence + 1,
        agent=task.agent,
        project=task.project,
        uses=uses,
        origin=task.retry_of or task.parent,
    )


async def all_held(store: Store) -> AsyncIterator[Task]:
    """Every leased task in the store."""
    page: Sequence[Task] = ()
    while page := await store.read(partial(_held, after=page[-1].id if page else "")):
        for task in page:
            yield task


def _held(tx: StoreTransaction, *, after: str) -> Sequence[Task]:
    return tx.held(after_id=after, limit=1000)


def commit_leases(tx: StoreTransaction, *, pairs: Sequence[tuple[Task, Task]], up_to: int) -> Reports:
    """Leases out and heard outcomes gone, in one transaction. Returns the last reports of what was leased."""
    if up_to:
        tx.acknowledge(up_to)
    tx.lease(pairs)
    return last_reports(tx, [after for _, after in pairs])


def last_reports(tx: StoreTransaction, tasks: Iterable[Task]) -> Reports:
    """The last report of each agent for the project that it is to work on."""
    reports = {}
    for agent, project in {(task.agent, task.project) for task in tasks}:
        report = tx.report(agent=agent, project=project)
        if report is not None:
            reports[agent, project] = json.dumps(
                {
                    "type": report.type,
                    "project": report.project,
                    "summary": report.summary,
                    "data": json.loads(report.data),
                }
            )
    return reports
