"""Leases: what safety is asked before one goes out, and the transaction that makes it durable."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial

from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.task import Task
from services.coordinator.ports import Store, StoreTransaction
from services.coordinator.ports_safety import Candidate

Reports = Mapping[tuple[str, str], str]
"""Reports as JSON, by agent and project."""


def candidate_of(task: Task, spec: AgentSpec) -> Candidate:
    """A ready task as safety is asked about it; what it retries, or whose child it is, spends under the same cap."""
    return Candidate(
        task_id=task.id,
        fence=task.fence + 1,
        agent=task.agent,
        project=task.project,
        uses=spec.uses,
        origin=task.retry_of or task.parent,
        identified=spec.is_identified,
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
