"""What is done to the coordinator's database while it does not serve: made, given another key, copied, put back."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from foundation.clock import SystemClock
from foundation.database_key import key_from, read_with_keys
from foundation.errors import Conflict
from foundation.settled import require_settled
from foundation.sqlite.connection import Location
from foundation.sqlite.copies import copy_online, faults_of_copy, row_counts
from foundation.sqlite.rekey import rekey
from foundation.workspace import Workspace
from services.coordinator.adapters.sqlite import SqliteStore
from services.coordinator.domain.put_back import put_back, schedule_put_back
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import StoreTransaction, TaskFilter

_SECRET_WITHIN = timedelta(seconds=5)
_PAGE = 1_000
_OPEN = frozenset(
    {
        *(TaskState.SCHEDULED, TaskState.BLOCKED, TaskState.QUEUED),
        *(TaskState.RUNNING, TaskState.PAUSED, TaskState.NEEDS_DECISION),
    }
)


async def provision(workspace: Workspace) -> None:
    """Make the database where there is none; only `quantum init` calls this, after it has made the key."""
    keys, _ = read_with_keys(workspace, [], within=_SECRET_WITHIN)
    store = SqliteStore.open(workspace.coordinator_db, key=keys.key_of(workspace.coordinator_db))
    await store.close()


def change_key(workspace: Workspace) -> None:
    """Encrypt the database with the key that is to take the present one's place; only `quantum rotate key` calls it."""
    keys, _ = read_with_keys(workspace, [], within=_SECRET_WITHIN)
    rekey(workspace.coordinator_db, keys.keys[0], keys.keys[-1])


def snapshot(workspace: Workspace, backup_id: str) -> None:
    """Copy the database into the workspace's folder of a backup, as the service does on its own while it runs."""
    keys, _ = read_with_keys(workspace, [], within=_SECRET_WITHIN)
    folder = workspace.making(backup_id)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / workspace.coordinator_db.name
    if target.exists():
        raise Conflict("snapshot_taken", f"Backup {backup_id} has its copy already.")
    source = workspace.coordinator_db
    copy_online(Location(path=source, key=keys.key_of(source)), target)


def count_copy(asked: Mapping[str, Any]) -> Mapping[str, int]:
    """The rows of each table of a copy: `{"path", "key"}` → `{table: rows}`."""
    return row_counts(Path(asked["path"]), key_from(asked["key"]))


async def check_copy(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is wrong with a copy: `{"path", "key", "counts"}` → `{"faults": […], "notes": […]}`."""
    path, key = Path(asked["path"]), key_from(asked["key"])
    faults = faults_of_copy(path, key, asked["counts"])
    if not faults:
        store = SqliteStore.open(path, key=key)
        try:
            faults = [f"{path.name}: {fault}." for fault in await store.check()]
        finally:
            await store.close()
    return {"faults": faults, "notes": []}


async def put_back_copy(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Make a copy the database that goes on: `{"path", "key"}` → how many open tasks are in which state now.

    With `new_key`, it is encrypted with that one afterwards.
    """
    path, key, now = Path(asked["path"]), key_from(asked["key"]), SystemClock().now()
    store = SqliteStore.open(path, key=key)
    counted: Counter[str] = Counter()
    try:
        after = ""

        def work(tx: StoreTransaction) -> tuple[str, Counter[str]]:
            page = tx.matching(TaskFilter(states=_OPEN), after_id=after, limit=_PAGE)
            pairs = [(task, put_back(task, now=now)) for task in page]
            tx.save([(before, task) for before, task in pairs if task is not before])
            return page[-1].id if page else "", Counter(str(task.state) for _, task in pairs)

        while True:
            after, found = await store.write(work)
            counted += found
            if not after:
                break
        await store.write(lambda tx: _put_schedules_back(tx, now))
    finally:
        await store.close()
    if "new_key" in asked:
        rekey(path, key, key_from(asked["new_key"]))
    return dict(counted)


def _put_schedules_back(tx: StoreTransaction, now: datetime) -> None:
    for standing in tx.schedules().values():
        tx.put_schedule(schedule_put_back(standing, now=now))


def answer(verb: str, workspace: Workspace, text: str, backup_id: str) -> str:
    """Do what one of the offline verbs asks for, and return what it prints."""
    if verb in ("provision", "rekey", "snapshot"):
        require_settled(workspace)
    match verb:
        case "provision":
            asyncio.run(provision(workspace))
        case "rekey":
            change_key(workspace)
        case "snapshot":
            snapshot(workspace, backup_id)
        case "count-copy":
            return json.dumps(count_copy(json.loads(text)))
        case "check-copy":
            return json.dumps(asyncio.run(check_copy(json.loads(text))))
        case "put-back":
            return json.dumps(asyncio.run(put_back_copy(json.loads(text))))
    return ""


VERBS = ("provision", "rekey", "snapshot", "count-copy", "check-copy", "put-back")
TAKES_INPUT = frozenset({"provision", "count-copy", "check-copy", "put-back"})
