"""Backups as the coordinator sees them: it has the databases copied, and watches the age of the last good one."""

import json
from datetime import datetime, timedelta

from foundation.backup_ids import made_at_of, require_backup_id
from foundation.clock import Clock
from foundation.errors import Denied
from services.coordinator.app.acts import acting
from services.coordinator.app.alerts import note_alerts, over
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import Catalogue, Snapshots, Store, StoreTransaction
from services.coordinator.ports_safety import PersonalAlert

LAST_GOOD = "last_good_backup"
"""The fact that holds when the last good one was made (or since when one is waited for), and whether that was told."""
FAILED, OVERDUE = "backup", "backup_overdue"
LOOK_SECONDS = 60.0


class Backups:
    """A snapshot is a privileged act, and recorded as one. What comes of it is told by whoever puts it together."""

    def __init__(
        self, store: Store, catalogue: Catalogue, snapshots: Snapshots, *, overdue_after: timedelta, clock: Clock
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._snapshots = snapshots
        self._overdue_after = overdue_after
        self._clock = clock

    async def take(self, backup_id: str) -> None:
        """Have both databases copied for a backup. Raises Invalid for what is no id, Conflict, Unavailable."""
        by, now = acting(), self._clock.now()
        await self._snapshots.take(require_backup_id(backup_id))
        act = by.act("backup_snapshot", f"backup {backup_id}", now=now)
        await self._store.write(lambda tx: tx.note_act(act))

    async def conclude(self, backup_id: str, fault: str) -> None:
        """Note that a backup is good, or have people told of its fault."""
        now = self._clock.now()
        # One of a clock that was ahead would keep everybody from being told for as long as it was ahead.
        made_at = min(made_at_of(require_backup_id(backup_id)) or now, now)
        await self._store.write(lambda tx: _conclude(tx, backup_id, fault, made_at))

    async def require_own(self, attempt: tuple[str, int]) -> None:
        """Raise Denied unless this is a running attempt of the built-in agent that makes backups."""
        task_id, fence = attempt
        task = await self._store.read(lambda tx: tx.task(task_id))
        spec = self._catalogue.agents().get(task.agent) if task is not None else None
        held = task is not None and task.state is TaskState.RUNNING and task.fence == fence
        if not held or spec is None or not spec.is_backup:
            raise Denied("not_a_backup", f"Task {task_id} makes no backup, or not any more.")

    async def step(self) -> None:
        """Tell people, once, when the last good backup is too long ago."""
        now = self._clock.now()
        await self._store.write(lambda tx: _look(tx, now, self._overdue_after))


def _conclude(tx: StoreTransaction, backup_id: str, fault: str, made_at: datetime) -> None:
    if fault:
        remedy = "quantum backup create makes another one; quantum backup list shows them."
        sentence = f"Backup {backup_id} is not good: {fault.rstrip('.')}."
        note_alerts(tx, [PersonalAlert(FAILED, "critical", sentence, remedy)])
        return
    tx.set_fact(LAST_GOOD, json.dumps([made_at.isoformat(), False]))
    note_alerts(tx, [over(FAILED), over(OVERDUE)])


def _look(tx: StoreTransaction, now: datetime, overdue_after: timedelta) -> None:
    known = tx.fact(LAST_GOOD)
    if known is None:
        tx.set_fact(LAST_GOOD, json.dumps([now.isoformat(), False]))
        return
    since, told = json.loads(known)
    age = now - datetime.fromisoformat(since)
    if told or age <= overdue_after:
        return
    tx.set_fact(LAST_GOOD, json.dumps([since, True]))
    hours = int(age / timedelta(hours=1))
    sentence = f"There was no good backup for {hours} hours."
    note_alerts(tx, [PersonalAlert(OVERDUE, "warning", sentence, "quantum backup create makes one now.")])
