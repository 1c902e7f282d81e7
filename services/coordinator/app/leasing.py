"""Leases: which runner has room for them, and the transaction that makes them durable."""

import json
from collections.abc import Mapping, Sequence

from services.coordinator.app.attachments import Attachment, Attachments
from services.coordinator.app.holdings import Holdings
from services.coordinator.domain.task import Task
from services.coordinator.ports import Candidate, StoreTransaction


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


def commit_leases(
    tx: StoreTransaction, *, pairs: Sequence[tuple[Task, Task]], up_to: int
) -> Mapping[tuple[str, str], str]:
    """Leases out and heard outcomes gone, in one transaction. Returns the last reports of what was leased."""
    if up_to:
        tx.acknowledge(up_to)
    tx.lease(pairs)
    reports = {}
    for agent, project in {(after.agent, after.project) for _, after in pairs}:
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
