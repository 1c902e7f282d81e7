"""What the end of a task means for the tasks that depend on it."""

from collections.abc import Sequence
from datetime import datetime

from services.coordinator.domain.task import Task, TaskState, lose_parent, unblock
from services.coordinator.ports import StoreTransaction


def release_children(tx: StoreTransaction, ended: Sequence[Task], *, now: datetime) -> list[Task]:
    """Let go the blocked tasks whose last parent has succeeded; cancel the descendants of those that ended otherwise.

    To be called in the transaction that saved `ended`, after the save; open tasks in it are passed over. Returns
    every task that was changed, for `Changes.announce`.
    """
    changed: list[Task] = []
    wave = {task.id: task for task in ended if task.ended}
    while wave:
        moved = [(child, _after_parents(tx, child, wave, now)) for child in tx.blocked_on(tuple(wave))]
        pairs = [(child, after) for child, after in moved if after is not child]
        tx.save(pairs)
        changed.extend(after for _, after in pairs)
        wave = {after.id: after for _, after in pairs if after.ended}
    return changed


def _after_parents(tx: StoreTransaction, child: Task, ended: dict[str, Task], now: datetime) -> Task:
    for parent_id in child.depends_on:
        parent = ended.get(parent_id)
        if parent is not None and parent.state is not TaskState.SUCCEEDED:
            return lose_parent(child, parent, now=now)
    return child if tx.unmet_parents(child.id) else unblock(child, now=now)
