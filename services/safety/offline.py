"""What is done to safety's database while it does not serve: made, given another key, copied, checked, put back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from getpass import getuser
from pathlib import Path
from typing import Any

from foundation.clock import SystemClock
from foundation.database_key import DatabaseKeys, key_from, read_with_keys
from foundation.errors import QuantumError
from foundation.secrets import AUDIT_KEY, user_account
from foundation.settled import require_settled
from foundation.sqlite.connection import Location
from foundation.sqlite.copies import copy_online, faults_of_copy, row_counts
from foundation.sqlite.database import Database
from foundation.sqlite.pages import key_fits
from foundation.sqlite.rekey import rekey
from foundation.stop_file import StopFile
from foundation.workspace import Workspace
from services.safety.adapters import sqlite_audit
from services.safety.adapters.checkpoint_file import FileCheckpoint
from services.safety.adapters.snapshots import WorkspaceSnapshots
from services.safety.adapters.spend_files import TariffFiles
from services.safety.adapters.sqlite import MIGRATIONS, SqliteStore
from services.safety.adapters.stop_file import WorkspaceStopSignal
from services.safety.app.audit import Audit
from services.safety.app.isolate import isolate
from services.safety.app.provision import provision
from services.safety.app.put_back import Fresh, PuttingBack, goes_back_to, put_back
from services.safety.app.state import SafetyState
from services.safety.app.trail import AuditTrail
from services.safety.domain.audit import Actor, AuditEntry, Head
from services.safety.domain.spend_records import Stage
from services.safety.ports import Snapshot

KEY_WITHIN = timedelta(seconds=5)
VERBS = ("provision", "isolate", "rekey", "snapshot", "count-copy", "check-copy", "put-back")
TAKES_INPUT = frozenset({"provision", "isolate", "count-copy", "check-copy", "put-back"})


def keys_of(workspace: Workspace) -> tuple[DatabaseKeys, bytes]:
    """The databases' keys and the audit log's. A service never makes one."""
    keys, [audit] = read_with_keys(workspace, [(AUDIT_KEY, user_account(workspace))], within=KEY_WITHIN)
    return keys, key_from(audit)


def open_database(workspace: Workspace, keys: DatabaseKeys) -> Database:
    """The workspace's own, with whichever key it has now."""
    return Database.open(workspace.safety_db, key=keys.key_of(workspace.safety_db), migrations=MIGRATIONS)


async def provision_from(workspace: Workspace, text: str) -> int:
    """Make the database where there is none and put the tokens of `text` into it; return how many were new."""
    keys, audit_key = keys_of(workspace)
    with open_database(workspace, keys) as database:
        return await provision(
            SqliteStore(database),
            text,
            now=SystemClock().now(),
            audit_key=audit_key,
            checkpoint=FileCheckpoint(workspace.audit),
        )


async def isolate_with(workspace: Workspace, text: str) -> int:
    """Revoke every token but those of `text`; return how many were."""
    keys, audit_key = keys_of(workspace)
    with open_database(workspace, keys) as database:
        return await isolate(
            SqliteStore(database),
            text,
            actor=_actor("isolate"),
            now=SystemClock().now(),
            audit_key=audit_key,
            checkpoint=FileCheckpoint(workspace.audit),
        )


async def change_key(workspace: Workspace) -> None:
    """Encrypt the database with the key that is to take the present one's place; only `quantum rotate key` calls it."""
    keys, audit_key = keys_of(workspace)
    now = SystemClock().now()
    with open_database(workspace, keys) as database:
        store = SqliteStore(database)
        trail = AuditTrail(audit_key, FileCheckpoint(workspace.audit), (await store.load()).audit_head)
        entries = await trail.taken_up(store, now=now)
    entries.append(AuditEntry(at=now, actor=_actor("rotate key"), act="database_key_rotate", target="databases"))
    records = trail.records(entries)
    await trail.stage(records, required=True)
    if rekey(
        workspace.safety_db,
        keys.keys[0],
        keys.keys[-1],
        finish=lambda connection: sqlite_audit.write(connection, records),
    ):
        await trail.publish(records)


def snapshot(workspace: Workspace, backup_id: str) -> None:
    """Copy database and checkpoint into the workspace's folder of a backup, as the service does while it runs."""
    keys, _ = keys_of(workspace)
    source = Location(path=workspace.safety_db, key=keys.key_of(workspace.safety_db))
    WorkspaceSnapshots(workspace, lambda target: copy_online(source, target)).take_sync(backup_id)


def count_copy(asked: Mapping[str, Any]) -> Mapping[str, int]:
    """The rows of each table of a copy: `{"path", "key"}` → `{table: rows}`."""
    return row_counts(Path(asked["path"]), key_from(asked["key"]))


async def check_copy(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is wrong with a copy: `{"path", "key", "counts", "audit", "audit_key"}` → `{"faults": […], "notes": […]}`.

    `audit` is the folder of its checkpoint. A log that was changed before the copy was made is a note, not a fault: it
    was copied as it was, and safety says so at every start. With `present`, what lies where the copy is to be put (as
    `present_state` takes it), the answer has `unknown`: why that does not tell what was revoked since; empty, it does.
    """
    path, key = Path(asked["path"]), key_from(asked["key"])
    if faults := faults_of_copy(path, key, asked["counts"]):
        return {"faults": faults, "notes": []}
    with Database.open(path, key=key, migrations=MIGRATIONS) as database:
        store = SqliteStore(database)
        snapshot = await store.load()
        since = {}
        if "present" in asked:
            since = {"unknown": (await present_state(asked["present"], snapshot.audit_head)).unknown}
        spend = snapshot.spend
        held = sum(one.micros for one in spend.reservations.values() if one.stage is Stage.HELD)
        fleet = sum(balance.reserved for account, balance in spend.balances.items() if account == ("fleet", ""))
        if held != fleet:
            faults = [f"{path.name}: {held} micro-dollars are reserved by calls, and {fleet} are booked as reserved."]
        state = await _state(store, asked)
        verdict = await Audit(state, store).verify()
    return {"faults": faults, "notes": [verdict.fault.sentence] if verdict.fault else [], **since}


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentState:
    """The state whose place a copy takes, None where it cannot be read; `unknown` as `check_copy` answers it."""

    snapshot: Snapshot | None = None
    unknown: str = ""


async def present_state(asked: Mapping[str, Any], head: Head) -> PresentState:
    """Read what lies there now, itself a copy: `{"path", "keys": […], "audit", "audit_key"}`.

    `head` is where the log of the backup ends: only a database that has gone on from there knows what happened since.
    """
    path = Path(asked["path"])
    key = next((key for key in map(key_from, asked["keys"]) if key_fits(path, key)), None)
    if not path.exists():
        return PresentState(unknown="Safety's database is not here any more")
    if key is None:
        return PresentState(unknown="Safety's database that is here opens with no key that is known")
    if faults := faults_of_copy(path, key, None):
        return PresentState(unknown=f"Safety's database that is here is damaged: {faults[0].rstrip('.')}")
    try:
        with Database.open(path, key=key, migrations=MIGRATIONS) as database:
            return await _read_present(SqliteStore(database), asked, head)
    except QuantumError as error:  # one of a later version
        return PresentState(unknown=f"Safety's database that is here cannot be read: {error.message.rstrip('.')}")


async def _read_present(store: SqliteStore, asked: Mapping[str, Any], head: Head) -> PresentState:
    snapshot = await store.load()
    trail = AuditTrail(key_from(asked["audit_key"]), FileCheckpoint(Path(asked["audit"])), snapshot.audit_head)
    unknown = ""
    if fault := await trail.check_end(store):
        unknown = f"The log of the database that is here is not whole: {fault.sentence.rstrip('.')}"
    elif not await goes_back_to(store, head):
        unknown = "The database that is here does not go back to this backup"
    return PresentState(snapshot=snapshot, unknown=unknown)


async def put_back_copy(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Make a copy the database that goes on; the mode before and after, what was carried over, which tokens are new.

    `asked` is what `check_copy` takes with `"backup_id"`, `"own": {id: [new id, digest]}` and `"new_tokens"`, as in
    `PuttingBack`. With `new_key` the database has that one then. With `new_audit_key` no token from before is good any
    more, no secret of it is kept, and the log is sealed anew; the log is checked under the old key first.
    """
    path, key = Path(asked["path"]), key_from(asked["key"])
    new_audit_key = asked.get("new_audit_key")
    with Database.open(path, key=key, migrations=MIGRATIONS) as database:
        store = SqliteStore(database)
        head = (await store.load()).audit_head
        present = (await present_state(asked["present"], head)).snapshot if "present" in asked else None
        state = await _state(store, asked)
        putting = PuttingBack(
            backup_id=asked["backup_id"],
            actor=_actor("init --recover" if new_audit_key else "restore"),
            present=present,
            caps=TariffFiles(Path(asked["config"])).read().caps if "config" in asked else {},
            own={old: Fresh(*new) for old, new in asked.get("own", {}).items()},
            new_tokens=asked.get("new_tokens", False),
            renewing=new_audit_key is not None,
        )
        done = await put_back(state, putting)
        if new_audit_key is not None:
            sealing = key_from(new_audit_key)
            head = await database.write(lambda connection: sqlite_audit.seal_anew(connection, sealing))
            await AuditTrail(sealing, FileCheckpoint(Path(asked["audit"])), head).put_down()
    if "new_key" in asked:
        rekey(path, key, key_from(asked["new_key"]))
    said = {"mode_before": done.mode_before.name, "mode": done.mode.name}
    return {**said, "carried": list(done.carried), "replaced": list(done.replaced)}


async def _state(store: SqliteStore, asked: Mapping[str, Any]) -> SafetyState:
    nowhere = WorkspaceStopSignal(StopFile(Path(asked["audit"]) / "no-such-order"))
    checkpoint = FileCheckpoint(Path(asked["audit"]))
    return await SafetyState.load(
        store, nowhere, SystemClock(), audit_key=key_from(asked["audit_key"]), checkpoint=checkpoint
    )


def _actor(verb: str) -> Actor:
    return Actor(name=getuser(), source=f"quantum {verb}, while the system was down")


def answer(verb: str, workspace: Workspace, text: str, backup_id: str) -> str:
    """Do what one of the offline verbs asks for, and return what it prints."""
    if verb in ("provision", "isolate", "rekey", "snapshot"):
        require_settled(workspace)
    match verb:
        case "provision":
            return json.dumps({"new_tokens": asyncio.run(provision_from(workspace, text))})
        case "isolate":
            return f"{asyncio.run(isolate_with(workspace, text))}\n"
        case "rekey":
            asyncio.run(change_key(workspace))
        case "snapshot":
            snapshot(workspace, backup_id)
        case "count-copy":
            return json.dumps(count_copy(json.loads(text)))
        case "check-copy":
            return json.dumps(asyncio.run(check_copy(json.loads(text))))
        case "put-back":
            return json.dumps(asyncio.run(put_back_copy(json.loads(text))))
    return ""
